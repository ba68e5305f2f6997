"""``ordinaut publish``, ``events`` and ``audit``: telling others what happened, and reading what did."""

import sys
from enum import StrEnum
from typing import Annotated, Any

import orjson
import typer

from ordinaut_cli import asking, render, target, times, views
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.options import Api, InContext, Limit, Namespace, Output, OutputFormat


class Decision(StrEnum):
    """What became of a request in the audit trail."""

    ALLOWED = "Allowed"
    DENIED = "Denied"


def publish(
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="What happened, such as mail.received.")],
    data: Annotated[
        str | None, typer.Option("--data", "-d", metavar="JSON|-", help="More about it; - reads it from stdin.")
    ] = None,
    subject: Annotated[str | None, typer.Option(help="What it happened to.")] = None,
    source: Annotated[str | None, typer.Option(help="Where it happened, as a URI reference.")] = None,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Publish an event.

    When the command is done, the event is on disk and will be delivered.
    """
    content = None if data is None else parse_data(sys.stdin.read() if data == "-" else data)
    made = asking.ask(
        target.choose(api=api, namespace=namespace, context=context),
        lambda client: client.events.publish(kind, content, subject=subject, source=source),
    )
    render.show({"id": made}, output, as_table=f"event {made} accepted")


def parse_data(text: str) -> Any:
    """Read the data of an event."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CommandError(
            f"--data: not JSON: {error}; a text needs its own quotes: --data '\"text\"'", exit_code=WRONG_INPUT
        ) from None


def events(
    kind: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only events of this type.")] = None,
    limit: Limit = 20,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """List the events of the last days, the newest first."""
    items = asking.ask(
        target.choose(api=api, namespace=namespace, context=context),
        lambda client: asking.gathered(client.events.list(type_=kind, limit=limit)),
    )
    render.listed(items, output, none="no events", table=lambda: views.events(items, now=times.now()))


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
