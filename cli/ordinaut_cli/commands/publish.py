"""``ordinaut publish``: telling others what happened, one event or a file of them."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from ordinaut_cli import asking, eventfiles, render, target
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.eventfiles import Given
from ordinaut_cli.options import Api, InContext, Namespace, Output, OutputFormat

if TYPE_CHECKING:
    from ordinaut.client import Client

_PLACE: Final = re.compile(r"(?:items)?\[([0-9]+)\]\.?")
"""What the API writes before the field of a mistake in one of several events."""


def publish(
    kind: Annotated[
        str | None, typer.Argument(metavar="TYPE", help="What happened, such as mail.received.", show_default=False)
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", metavar="JSON|@FILE|-", help="More about it; @FILE or - reads it from there."),
    ] = None,
    subject: Annotated[str | None, typer.Option(help="What it happened to.")] = None,
    source: Annotated[str | None, typer.Option(help="Where it happened, as a URI or a path.")] = None,
    id_: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="Its own id: sent again with it, it triggers nothing again."),
    ] = None,
    filename: Annotated[
        str | None,
        typer.Option("--file", "-f", metavar="FILE|-", help="Publish these events instead: JSON, or one in each line."),
    ] = None,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Publish an event, or those of a file.

    When the command is done, they are on disk and will be delivered.
    """
    chosen = target.choose(api=api, namespace=namespace, context=context)
    if filename is not None:
        if any(one is not None for one in (kind, data, subject, source, id_)):
            raise CommandError("give a TYPE with its options, or --file, but not both", exit_code=WRONG_INPUT)
        _publish_file(eventfiles.read(filename, option="--file"), chosen, output)
        return
    if kind is None:
        raise CommandError("give the TYPE of the event, such as mail.received, or --file", exit_code=WRONG_INPUT)
    content = None if data is None else _data(data)

    async def work(client: "Client") -> str:
        from ordinaut.client import Invalid  # noqa: PLC0415 - loaded by whoever made the client

        try:
            return await client.events.publish(kind, content, subject=subject, source=source, id_=id_)
        except Invalid as refusal:
            lines = [_PLACE.sub("", str(one.get("detail", ""))) for one in refusal.errors] or [refusal.detail]
            raise CommandError(*lines, exit_code=WRONG_INPUT) from None

    made = asking.ask(chosen, work)
    render.show({"id": made}, output, as_table=f"event {made} accepted")


def _data(given: str) -> Any:
    """Return the data of an event, from where the option says."""
    if given == eventfiles.STDIN:
        text = sys.stdin.read()
    elif given.startswith("@"):
        try:
            text = Path(given[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise CommandError(f"--data: {given[1:]}: cannot read it: {why}", exit_code=WRONG_INPUT) from None
    else:
        text = given
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        said = f"--data: not JSON: {error}; a text needs its own quotes: --data '\"text\"'"
        raise CommandError(said, exit_code=WRONG_INPUT) from None


def _publish_file(events: Sequence[Given], chosen: target.Target, output: OutputFormat) -> None:
    """Publish the events of a file, and tell of each when it is accepted; for programs, of all at the end."""
    accepted: list[str] = []

    async def work(client: "Client") -> None:
        for part in eventfiles.portions(events):
            ids = await _publish_part(client, part, before=len(accepted))
            accepted.extend(ids)
            if output is OutputFormat.TABLE:
                print("\n".join(f"event {one} accepted" for one in ids), flush=True)

    asking.ask(chosen, work)
    render.show({"ids": accepted}, output, as_table=f"{len(accepted)} events accepted")


async def _publish_part(client: "Client", part: Sequence[Given], *, before: int) -> Sequence[str]:
    from ordinaut.client import ClientError, Invalid  # noqa: PLC0415 - loaded by whoever made the client

    try:
        return await client.events.publish_many([one.event for one in part])
    except Invalid as refusal:
        lines = [_placed(one, part) for one in refusal.errors] or [refusal.detail]
        raise CommandError(*lines, *_partly(part, before), exit_code=WRONG_INPUT) from None
    except ClientError:
        for line in _partly(part, before):
            print(line, file=sys.stderr)
        raise


def _placed(mistake: Any, part: Sequence[Given]) -> str:
    """Return a mistake with its place in the file instead of that in the request."""
    detail = str(mistake.get("detail", ""))
    found = _PLACE.match(detail)
    if not found or int(found[1]) >= len(part):
        return f"{part[0].place}: {detail}"
    return f"{part[int(found[1])].place}: {detail[found.end() :].removeprefix(': ')}"


def _partly(part: Sequence[Given], before: int) -> list[str]:
    """Say what has become of the file, if a part of it was accepted already."""
    return [f"the {before} events before {part[0].place} are accepted; take them out to go on"] if before else []
