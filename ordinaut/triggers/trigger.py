"""
One trigger of a task: from what its spec says to what an event is tested with, and to the params of the run.

``declaration`` checks triggers when a task is declared (:func:`check_triggers`) and stores them (:func:`stored`);
:mod:`~ordinaut.triggers.subscriptions` and the operator compile what was stored (:func:`compile_triggers`) and ask for
the params of a run (:func:`run_params`).
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

import orjson

from ordinaut.engine.predicate import Predicate, compile_predicate, unusable
from ordinaut.engine.template import Template, compile_template
from ordinaut.errors import FieldError, Invalid, Mistakes, Permanent
from ordinaut.remembering import remembered
from ordinaut.resources.duration import parse_duration
from ordinaut.resources.task import EventTrigger, TaskSpec

_NOT_ATTRIBUTES: Final = frozenset({"event", "events", "params", "steps", "run", "task"})
"""Names of other scopes: in a condition, the names are those of the event itself."""

_ROOTS: Final = frozenset({"event", "events"})
"""What templates of params may name, as those of pipelines may."""


class _Attributes(Collection[str]):
    """
    The names that a condition may begin with: attributes of CloudEvents.

    Publishers may add attributes of their own, so every name that could be one is in; listed are those that there are
    without asking.
    """

    _usual = ("data", "id", "publisher", "source", "subject", "time", "type")
    _name = re.compile("[a-z0-9]+|data_base64")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name not in _NOT_ATTRIBUTES and self._name.fullmatch(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._usual)

    def __len__(self) -> int:
        return len(self._usual)


_ATTRIBUTES: Final = _Attributes()


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that make one run together: so many, or those of so long a time."""

    max_size: int
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class Trigger:
    """
    A compiled trigger.

    ``number`` is its place in the spec; events count ``since`` a time, that of their acceptance. ``params`` is JSON
    with templates, None where the run has those of its task; :func:`run_params` reads it.
    """

    number: int
    topic: str
    since: datetime
    condition: Predicate | None
    params: bytes | None
    debounce: timedelta | None
    batch: Batch | None


def check_triggers(triggers: Sequence[EventTrigger], *, field: str) -> None:
    """
    Check what the conditions and templates of triggers that stand at ``field`` mean.

    Raises:
        Invalid: every mistake, each with its field.
    """
    mistakes = Mistakes()
    for number, trigger in enumerate(triggers):
        place = f"{field}[{number}]"
        if trigger.if_ is not None:
            with mistakes.caught(under=f"{place}.if"):
                _predicate(trigger.if_)
        if trigger.params:
            with mistakes.caught(under=f"{place}.params"):
                compile_template(trigger.params, roots=_ROOTS)
    mistakes.raise_any()


def stored(spec: TaskSpec, old: Sequence[Mapping[str, Any]] | None, now: datetime) -> list[dict[str, Any]] | None:
    """
    Return what is stored of a task's triggers, None where it has none.

    ``old`` is what was stored before. A topic that was there already goes on: events that wait to be looked at must not
    be lost because somebody edits something else. A new one begins now.
    """
    since = {one["topic"]: one["since"] for one in old or ()}
    begins = now.isoformat()
    found = [{**trigger.canonical(), "since": since.get(trigger.topic, begins)} for trigger in spec.triggers]
    return found or None


def compile_triggers(triggers: Sequence[Mapping[str, Any]]) -> tuple[Trigger, ...]:
    """Return triggers as :func:`stored` has written them; a condition that can't be read fails when it is asked."""
    return tuple(_trigger(number, one) for number, one in enumerate(triggers))


def run_params(
    trigger: Trigger, *, event: Mapping[str, Any], events: Sequence[Mapping[str, Any]] | None
) -> dict[str, Any]:
    """
    Return the params that an event gives to its run; they override those of the task one by one.

    ``events`` are those of a batch, of which ``event`` is the last; None where it is the only one.

    Raises:
        Invalid: a template names what the event does not have, or what it makes is too large.
    """
    if trigger.params is None:
        return {}
    field = f"spec.triggers[{trigger.number}].params"
    mistakes = Mistakes()
    with mistakes.caught(under=field):
        scope = {"event": event, "events": [event] if events is None else events}
        return _rendered(_template(trigger.params), scope)
    mistakes.raise_any()
    raise AssertionError(field)


def _rendered(template: Template, scope: Mapping[str, object]) -> dict[str, Any]:
    try:
        return cast(dict[str, Any], template.render(scope))
    except Permanent as error:
        raise Invalid([FieldError("", {}, str(error), "")]) from None


def _trigger(number: int, one: Mapping[str, Any]) -> Trigger:
    params, debounce, batch = one.get("params"), one.get("debounce"), one.get("batch")
    return Trigger(
        number=number,
        topic=one["topic"],
        since=datetime.fromisoformat(one["since"]),
        condition=_condition(one["if"]) if "if" in one else None,
        params=orjson.dumps(params) if params else None,
        debounce=parse_duration(debounce) if debounce else None,
        batch=Batch(batch["maxSize"], parse_duration(batch["timeout"])) if batch else None,
    )


def _condition(source: str) -> Predicate:
    try:
        return _predicate(source)
    except Invalid as invalid:  # another release has accepted it
        return unusable(source, f"expression can't be read: {invalid.errors[0].message}")


@remembered(entries=4096)
def _predicate(source: str) -> Predicate:
    return compile_predicate(source, roots=_ATTRIBUTES)


@remembered(entries=1024)
def _template(params: bytes) -> Template:
    return compile_template(orjson.loads(params), roots=_ROOTS)
