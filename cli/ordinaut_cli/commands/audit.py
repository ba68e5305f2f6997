"""``ordinaut audit``: who changed what."""

from enum import StrEnum
from typing import Annotated

import typer

from ordinaut_cli import asking, render, target, times, views
from ordinaut_cli.options import Api, InContext, Limit, Namespace, Output, OutputFormat


class Decision(StrEnum):
    """What became of a request in the audit trail."""

    ALLOWED = "Allowed"
    DENIED = "Denied"


def audit(
    actor: Annotated[str | None, typer.Option(help="Only what this caller did.")] = None,
    verb: Annotated[str | None, typer.Option(help="Only what was done so: create, update, run, …")] = None,
    decision: Annotated[Decision | None, typer.Option(help="Only changes, or only denials.")] = None,
    limit: Limit = 20,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show who changed what, or was not allowed to.

    The newest first.
    """
    items = asking.ask(
        target.choose(api=api, namespace=namespace, context=context),
        lambda client: asking.gathered(client.audit.list(actor=actor, verb=verb, decision=decision, limit=limit)),
    )
    render.listed(items, output, none="nothing in the audit trail", table=lambda: views.audit(items, now=times.now()))
