"""``ordinaut apply``: declare the objects in manifests through the API."""

from typing import Any

from ordinaut_cli import render, target
from ordinaut_cli.options import Api, Files, InContext, Namespace, Output, OutputFormat


def apply(
    filename: Files,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Create or replace the objects in manifests.

    Nothing is sent if there is a mistake in any of them.
    """
    from ordinaut_cli import applying  # noqa: PLC0415 - slow to load, and other commands need not wait for it

    applied: list[Any] = []

    def tell(one: applying.Applied) -> None:
        applied.append(one.object)
        if output is OutputFormat.TABLE:
            print(f"{one.title} {one.result}")

    applying.apply(filename, target.choose(api=api, namespace=namespace, context=context), tell=tell)
    if output is not OutputFormat.TABLE:
        print(render.dump({"items": applied}, output))
