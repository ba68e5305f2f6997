"""
Every error that Ordinaut raises on purpose, in one tree.

Whether something may be tried again is in the *type*, so that callers decide without reading messages::

    OrdinautError
    ├── Invalid              a user's input; carries one FieldError per mistake
    ├── NotFound             a named object does not exist
    ├── Conflict             the object is in a state that forbids the request
    ├── Permanent            a step failed and trying again would not help
    │   └── StepFailed       the tool answered with a failure of its own
    ├── Transient            a step failed and may succeed later
    ├── LeaseLost            the fencing token is gone: drop the work, write nothing
    └── StoreUnready         the database is reachable but can't be worked with yet (not migrated)
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

MAX_SHOWN_VALUE = 120
"""Characters of a refused value that a message repeats; the rest would only flood logs and terminals."""


class OrdinautError(Exception):
    """Something went wrong in Ordinaut."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip().splitlines()[0])


def shown(value: object) -> str:
    """Return ``value`` as a message may repeat it: as JSON, escaped, at most ``MAX_SHOWN_VALUE`` characters."""
    # Cut first: what is not shown need not be escaped, and a value may have megabytes.
    text = _escaped(_beginning(value)[: MAX_SHOWN_VALUE + 1])
    return text if len(text) <= MAX_SHOWN_VALUE else text[: MAX_SHOWN_VALUE - 1] + "…"


def _beginning(value: object) -> str:
    """Return enough of ``value`` as JSON to be shown."""
    if isinstance(value, str):
        return json.dumps(value[: MAX_SHOWN_VALUE + 1], ensure_ascii=False)
    text = ""
    try:
        for part in _ENCODER.iterencode(value):
            text += part
            if len(text) > MAX_SHOWN_VALUE:
                break
    except (TypeError, ValueError):
        return str(value)
    return text


_ENCODER = json.JSONEncoder(ensure_ascii=False)


def _escaped(text: str) -> str:
    """Return ``text`` without characters that could break out of a line of a log or a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class Mistake(StrEnum):
    """The kinds of mistake, each with the words that the Kubernetes API server has for it."""

    INVALID = "Invalid value"
    REQUIRED = "Required value"
    UNSUPPORTED = "Unsupported value"
    TOO_LONG = "Too long"
    TOO_MANY = "Too many"
    UNKNOWN = "unknown field"


@dataclass(frozen=True, slots=True)
class FieldError:
    """
    One mistake in a user's input.

    ``field`` is the path as Kubernetes writes it (``spec.schedules[0].cron``), ``message`` says what is wrong
    and ``remedy`` what to write instead. As text it reads like the API server's own refusal, so that a manifest
    is refused with the same words wherever it is given.
    """

    field: str
    value: object
    message: str
    remedy: str
    mistake: Mistake = Mistake.INVALID

    def __str__(self) -> str:
        remedy = f"; {self.remedy}" if self.remedy else ""
        field = _escaped(self.field)  # the names of unknown fields and of keys in free JSON are the caller's
        if self.mistake is Mistake.UNKNOWN:
            return f'{self.mistake} "{field}"{remedy}'
        said = [field, str(self.mistake)]
        if self._shows_value():
            said.append(shown(self.value))
        if self.message:
            said.append(self.message)
        return ": ".join(part for part in said if part) + remedy

    def _shows_value(self) -> bool:
        """Whether the value is named: what is missing, too long or composed would only hide the message."""
        return self.mistake not in {Mistake.REQUIRED, Mistake.TOO_LONG} and not isinstance(self.value, Mapping | list)

    def under(self, prefix: str) -> "FieldError":
        """Return the same mistake with its path placed under ``prefix``."""
        joint = "" if not self.field or self.field.startswith("[") else "."
        return replace(self, field=f"{prefix}{joint}{self.field}")


class Invalid(OrdinautError):
    """The input is not valid."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))


class Mistakes:
    """Gathers the mistakes of independent checks, so that a user sees all of them at once."""

    def __init__(self) -> None:
        self._errors: list[FieldError] = []

    @contextmanager
    def caught(self, *, under: str = "") -> Iterator[None]:
        """Keep an ``Invalid`` raised in the block, its fields placed ``under`` a path, and go on after it."""
        try:
            yield
        except Invalid as invalid:
            self._errors += [error.under(under) if under else error for error in invalid.errors]

    def raise_any(self) -> None:
        """Raise one ``Invalid`` with all that was kept, if anything was."""
        if self._errors:
            raise Invalid(self._errors)


class NotFound(OrdinautError):
    """The object does not exist."""


class Conflict(OrdinautError):
    """The object's present state forbids this."""


class Permanent(OrdinautError):
    """The step failed, and trying again would not help."""


class StepFailed(Permanent):
    """The tool answered with a failure."""


class Transient(OrdinautError):
    """The step failed, and may succeed when it is tried again."""

    def __init__(self, message: str | None = None, *, delay: timedelta | None = None) -> None:
        super().__init__(message)
        self.delay = delay


class LeaseLost(OrdinautError):
    """The lease of this work is gone; its results must be dropped."""


class StoreUnready(OrdinautError):
    """The database has not been migrated to the version that this program needs."""
