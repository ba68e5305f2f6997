"""
Preconditions of a request: "only if it is still what I saw" (If-Match), "only if none is there" (If-None-Match).

The ETag of an object names its incarnation and counts everything about it that callers can write. Its status changes by
itself and is no part of it, so that a run that ends meanwhile spoils nobody's edit. Checked inside the transaction of
the change (:func:`check`), under the lock of the namespace: of two edits with one ETag exactly one succeeds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ordinaut.errors import FieldError, Invalid
from ordinaut.store.declared import Key, Owner
from ordinaut_api.problems import Problem, ProblemError

_ETAG: Final = r'(?:W/)?"[\x21\x23-\x7e]*"'
_LIST: Final = re.compile(rf"\s*{_ETAG}\s*(?:,\s*{_ETAG}\s*)*")
_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What a caller demands of the object that a request is about."""

    match: frozenset[str] | None = None
    """ETags of which the object must have one; empty: it must exist; None: nothing is demanded."""
    absent: bool = False
    """There must be no such object."""

    @property
    def demands_existence(self) -> bool:
        """Whether the object must exist."""
        return self.match is not None


NONE: Final = Preconditions()


def etag(uid: str, version: int | str) -> str:
    """Return the ETag of an object."""
    return f'"{uid}.{version}"'


def preconditions(headers: Mapping[str, str]) -> Preconditions:
    """Return what the headers demand, or raise `Invalid`."""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is None and none_match is None:
        return NONE
    if none_match is not None and none_match.strip() != "*":
        raise Invalid([FieldError("If-None-Match", none_match, "only * is known here", "write *, or leave it out")])
    return Preconditions(match=None if match is None else _tags(match), absent=none_match is not None)


def _tags(text: str) -> frozenset[str]:
    if text.strip() == "*":
        return frozenset()
    if len(text) > _MAX or not _LIST.fullmatch(text):
        raise Invalid(
            [FieldError("If-Match", text, "not an ETag", "send the ETag of an answer, with its quotes, or *")]
        )
    return frozenset(re.findall(_ETAG, text))


def check(wanted: Preconditions, *, key: Key, owner: Owner | None) -> None:
    """Raise a problem (412) unless the object, None where there is none, is as the caller wants it."""
    if wanted.absent and owner is not None:
        raise _failed(f"{key} exists already.")
    if wanted.match is None:
        return
    if owner is None:
        raise _failed(f"{key} does not exist.")
    # Weak ETags never match: the comparison that RFC 9110 demands here is the strong one.
    if wanted.match and etag(owner.uid, owner.version) not in wanted.match:
        raise _failed(f"{key} has changed since: it is {etag(owner.uid, owner.version)} now. Read it again.")


def _failed(detail: str) -> ProblemError:
    return ProblemError(Problem(412, detail))
