"""``ordinaut validate``: check manifests without asking anybody."""

from ordinaut_cli import render, target
from ordinaut_cli.errors import CommandError
from ordinaut_cli.options import Files, InContext, Namespace, Output, OutputFormat


def validate(
    filename: Files, namespace: Namespace = None, context: InContext = None, output: Output = OutputFormat.TABLE
) -> None:
    """Check manifests without asking anybody."""
    from ordinaut_cli import files, verdicts  # noqa: PLC0415 - slow to load, and other commands need not wait for it

    found = verdicts.judge(files.load(filename), namespace=target.namespace_of(namespace, context=context))
    if output is not OutputFormat.TABLE:
        print(render.dump({"items": [verdict.json() for verdict in found]}, output))
    else:
        for verdict in found:
            if not verdict.errors:
                print("\n".join(verdict.lines()))
    wrong = [verdict for verdict in found if verdict.errors]
    if wrong:
        raise CommandError(*(line for verdict in wrong for line in verdict.lines()))
