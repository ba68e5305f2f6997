"""
Events from files, as ``ordinaut publish --file`` takes them: JSON, or JSON Lines with an event in each line.

An event is written as the API takes it, in its short form (``{"type": …, "data": …}``) or as a CloudEvent. Each keeps
the place where it stands, so that a mistake which the API finds is told with it. Files are sent in :func:`portions`.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from ordinaut_cli.errors import WRONG_INPUT, CommandError

STDIN: Final = "-"

MAX_EVENTS: Final = 100
"""Events that the API takes at once."""

MAX_BYTES: Final = 200 * 1024
"""Bytes of the events of a request, with room to what the API takes; one that is larger by itself goes alone."""


@dataclass(frozen=True, slots=True)
class Given:
    """An event of a file, and where it stands there: ``events.jsonl:7``."""

    event: Mapping[str, Any]
    place: str

    @property
    def is_cloudevent(self) -> bool:
        """Whether it is written as CloudEvents has it."""
        return "specversion" in self.event


def read(name: str, *, option: str) -> list[Given]:
    """Return the events of a file, or of stdin; ends the command for what can't be read, or when there are none."""
    text, source = _text(name, option=option)
    try:
        whole = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        found = list(_lines(text, source=source, option=option, whole=error))
    else:
        found = list(_elements(whole, source=source))
    for one in found:
        if not isinstance(one.event, Mapping):
            said = f'{option}: {one.place}: not an event; write an object such as {{"type": "mail.received"}}'
            raise CommandError(said, exit_code=WRONG_INPUT)
    if not found:
        raise CommandError(f"{option}: {source}: no event in there", exit_code=WRONG_INPUT)
    return found


def portions(events: Iterable[Given]) -> Iterator[list[Given]]:
    """Yield events in their order, in parts that the API takes at once: each of one form, and not too large."""
    part: list[Given] = []
    size = 0
    for one in events:
        bytes_ = len(orjson.dumps(one.event))
        full = len(part) == MAX_EVENTS or size + bytes_ > MAX_BYTES
        if part and (full or part[0].is_cloudevent != one.is_cloudevent):
            yield part
            part, size = [], 0
        part.append(one)
        size += bytes_
    if part:
        yield part


def _text(name: str, *, option: str) -> tuple[str, str]:
    if name == STDIN:
        return sys.stdin.read(), "<stdin>"
    try:
        return Path(name).read_text(encoding="utf-8"), name
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CommandError(f"{option}: {name}: cannot read it: {why}", exit_code=WRONG_INPUT) from None


def _elements(whole: Any, *, source: str) -> Iterator[Given]:
    if isinstance(whole, list):
        yield from (Given(event, f"{source}[{place}]") for place, event in enumerate(whole))
    elif isinstance(whole, Mapping) and whole.keys() == {"items"} and isinstance(whole["items"], list):
        yield from (Given(event, f"{source}: items[{place}]") for place, event in enumerate(whole["items"]))
    else:
        yield Given(whole, source)


def _lines(text: str, *, source: str, option: str, whole: orjson.JSONDecodeError) -> Iterator[Given]:
    """Yield the events of JSON Lines; if not even the first line is JSON, the mistake is that of the ``whole``."""
    is_first = True
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            why, place = (whole, source) if is_first else (error, f"{source}:{number}")
            raise CommandError(f"{option}: {place}: not JSON: {why}", exit_code=WRONG_INPUT) from None
        is_first = False
        yield Given(event, f"{source}:{number}")
