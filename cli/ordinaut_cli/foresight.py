"""
When tasks would run, computed here without asking anybody: those in files, and a schedule that is given by flags.

``preview`` and ``calendar`` call it. Nothing else is allowed here than when the product reads a task, and mistakes have
the same words; where no file has the field that is wrong, they name the flag. Slow to load: import it in functions.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import ValidationError

from ordinaut.declaration.nominal import parse_schedules, upcoming
from ordinaut.errors import FieldError, Invalid
from ordinaut.resources.jsonvalue import not_json
from ordinaut.resources.moment import MOMENT_MESSAGE, parse_moment
from ordinaut.resources.part import broken_rules
from ordinaut.resources.task import Schedule, TaskSpec
from ordinaut.resources.wording import field_errors
from ordinaut.schedule.seconds import FIRST_YEAR, LAST_YEAR, utc, wall_of
from ordinaut.schedule.zone import parse_zone, zone
from ordinaut_cli import files
from ordinaut_cli.errors import WRONG_INPUT, CommandError

FIELDS: Final = {
    "--cron": "cron",
    "--rrule": "rrule",
    "--interval": "interval",
    "--at": "at",
    "--tz": "timeZone",
    "--dst-gap": "dstGap",
    "--dtstart": "dtstart",
    "--exdate": "exdates",
    "--rdate": "rdates",
    "--start": "start",
    "--end": "end",
}
"""The field of a schedule that each flag gives."""

_FLAGS: Final = {field: flag for flag, field in FIELDS.items()}
_ANY_FIELD: Final = re.compile(rf"\b({'|'.join(_FLAGS)})\b")
_UNMISTAKABLE: Final = re.compile(r"\b(timeZone|dstGap|dtstart|exdates|rdates)\b")
"""Names of fields that are no words of a sentence."""

_PREFIX: Final = "spec.schedules[0]"


@dataclass(frozen=True, slots=True)
class Planned:
    """A task that is not applied yet, as it would be if it were created at ``anchor``."""

    namespace: str
    name: str
    spec: Mapping[str, Any]
    anchor: datetime

    @property
    def schedules(self) -> Sequence[Mapping[str, Any]]:
        """Its schedules, as they were written."""
        written: Sequence[Mapping[str, Any]] = self.spec.get("schedules", ())
        return written

    def coming(self, *, after: datetime, count: int) -> list[datetime]:
        """Return its next nominal times."""
        return upcoming(self.spec, anchor=self.anchor, after=after, limit=count)


def without_schedules(spec: Mapping[str, Any]) -> str:
    """Say when a task runs that has no schedules."""
    topics = dict.fromkeys(str(trigger["topic"]) for trigger in spec.get("triggers", ()))
    on_events = f"on events ({', '.join(topics)}), and " if topics else ""
    return f"it has no schedules: it runs {on_events}when somebody asks for it"


def in_files(names: Sequence[str], *, namespace: str, anchor: datetime) -> list[Planned]:
    """Return the tasks in files."""
    from ordinaut.declaration import examine  # noqa: PLC0415 - slow to load, and flags do without
    from ordinaut.resources.manifest import Task  # noqa: PLC0415 - as above

    found = []
    for document in files.load(names):
        if files.is_foreign(document):
            continue
        try:
            resource = examine.check(files.content(document, namespace=namespace))
            if isinstance(resource, Task):
                parse_schedules(resource.spec, anchor=anchor, field="spec")
                metadata = resource.metadata
                found.append(Planned(metadata.namespace, metadata.name, resource.spec.canonical(), anchor))
        except Invalid as invalid:
            raise CommandError(*files.mistakes(document, invalid.errors), exit_code=WRONG_INPUT) from None
    if not found:
        raise CommandError(f"-f: {', '.join(names)}: no Task in there", exit_code=WRONG_INPUT)
    return found


def by_flags(given: Mapping[str, Any], *, anchor: datetime) -> Planned:
    """Return the task of the one schedule that the ``given`` flags make."""
    try:
        schedule = _checked({FIELDS[flag]: value for flag, value in given.items()}, anchor)
    except Invalid as invalid:
        raise CommandError(*(_in_flags(error) for error in invalid.errors), exit_code=WRONG_INPUT) from None
    return Planned("", "", {"schedules": [schedule.canonical()]}, anchor)


def _checked(given: Mapping[str, Any], anchor: datetime) -> Schedule:
    mistakes = [*not_json(given)]
    if mistakes:
        raise Invalid(mistakes)
    try:
        schedule = Schedule.model_validate(given, by_alias=True, by_name=False)
    except ValidationError as error:
        raise Invalid([*field_errors(error, model=Schedule)]) from None
    if mistakes := [*broken_rules(schedule)]:
        raise Invalid(mistakes)
    parse_schedules(TaskSpec.model_construct(schedules=[schedule]), anchor=anchor, field="spec")
    return schedule


def _in_flags(error: FieldError) -> str:
    """Return a mistake that names the flag where others name the field of a manifest."""
    field = error.field.removeprefix(_PREFIX).removeprefix(".")
    flag = _FLAGS.get(field.partition("[")[0])
    named = _UNMISTAKABLE if flag else _ANY_FIELD
    message, remedy = (
        named.sub(lambda match: _FLAGS[match[0]], text)
        for text in (error.message.replace(f"{field} in body ", ""), error.remedy)
    )
    # A mistake of several fields together is told of the first that it names.
    found = re.search(r"--[a-z-]+", message)
    return str(replace(error, field=flag or (found[0] if found else ""), message=message, remedy=remedy))


def checked_zone(name: str) -> str:
    """Return the name of a time zone that ``--tz`` gives, if it is one."""
    try:
        return parse_zone(name, field="--tz")
    except Invalid as invalid:
        raise CommandError(*map(str, invalid.errors), exit_code=WRONG_INPUT) from None


def read_after(text: str, *, zone_name: str | None) -> datetime:
    """Return the instant that ``--after`` names; ``zone_name`` is the zone of a wall time, None where there is none."""
    try:
        return _instant(text, zone_name)
    except Invalid as invalid:
        raise CommandError(*map(str, invalid.errors), exit_code=WRONG_INPUT) from None


def _instant(text: str, zone_name: str | None) -> datetime:
    try:
        moment = parse_moment(text, field="--after")
    except Invalid:
        remedy = "write it as 2027-03-01T09:00:00Z"
        if zone_name is not None:
            remedy += ", or without the Z for the wall clock of --tz"
        raise Invalid([FieldError("--after", text, MOMENT_MESSAGE, remedy)]) from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        message = f"the year {moment.year} is out of range: allowed is {FIRST_YEAR}-{LAST_YEAR}"
        raise Invalid([FieldError("--after", text, message, "use another year")])
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    if zone_name is None:
        message, remedy = "a wall time, and it is not said of which zone", "write it with Z or with its offset"
        raise Invalid([FieldError("--after", text, message, remedy)])
    return utc(zone(zone_name).read(wall_of(moment)).instant)
