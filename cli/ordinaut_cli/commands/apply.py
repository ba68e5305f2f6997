"""``ordinaut apply``: declare the objects in manifests through the API."""

from ordinaut_cli import render
from ordinaut_cli.options import DEFAULT_API, Api, Files, Namespace, Output, OutputFormat


def apply(
    filename: Files,
    namespace: Namespace = "default",
    api: Api = DEFAULT_API,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Create or replace the objects in manifests.

    Nothing is sent if there is a mistake in any of them.
    """
    from ordinaut_cli import applying  # noqa: PLC0415 - slow to load, and other commands need not wait for it

    applied = []
    for one in applying.apply(filename, namespace=namespace, api=api):
        applied.append(one.object)
        if output is OutputFormat.TABLE:
            print(f"{one.title} {one.result}")
    if output is not OutputFormat.TABLE:
        print(render.dump({"items": applied}, output))
