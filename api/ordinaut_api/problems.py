"""
What a caller reads when a request fails: RFC 9457 problem details, for every error without exception.

Code below raises errors of the core (``ordinaut.errors``), of psycopg, or a :class:`ProblemError` where HTTP itself
is the subject. :func:`problem_of` turns each into a :class:`Problem`; ``gate`` answers with it also when nobody
foresaw the error, and then without a word about the inside. The ``type`` URIs are stable: clients decide by them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import orjson
import psycopg
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ordinaut.access.rights import Right
from ordinaut.errors import MAX_SHOWN_VALUE, Conflict, FieldError, Invalid, Mistake, NotFound, StoreUnready

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:ordinaut:problem:"

MAX_ERRORS: Final = 100
"""Mistakes that one answer lists; nobody mends more at a time."""

RETRY_AFTER: Final = 2
"""Seconds after which a caller should ask again while PostgreSQL is away."""

SLUGS: Final[Mapping[str, int]] = {
    "malformed": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "quota-exceeded": 403,
    "not-found": 404,
    "method-not-allowed": 405,
    "conflict": 409,
    "idempotency-conflict": 409,
    "precondition-failed": 412,
    "too-large": 413,
    "unsupported-media-type": 415,
    "invalid": 422,
    "rate-limited": 429,
    "internal": 500,
    "unavailable": 503,
}
"""Every kind of problem with its status; of two kinds with one status, the first is what the status alone says."""

_BY_STATUS: Final = {status: slug for slug, status in [*SLUGS.items()][::-1]}


@dataclass(frozen=True, slots=True)
class Problem:
    """
    An answer to a request that failed.

    ``detail`` is for people, ``errors`` holds one entry per mistake, ``slug`` names the kind where the status does not,
    ``right`` is the one that the caller lacks.
    """

    status: int
    detail: str
    errors: Sequence[FieldError] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    slug: str | None = None
    right: str | None = None

    @property
    def type(self) -> str:
        """The URI that names this kind of problem."""
        by_status = _BY_STATUS.get(self.status, "internal" if self.status >= 500 else "malformed")  # noqa: PLR2004
        return TYPE_PREFIX + (self.slug or by_status)

    def response(self, *, instance: str, request_id: str) -> Response:
        """Return the problem as a response to the request for the path ``instance``."""
        body: dict[str, Any] = {
            "type": self.type,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "requestId": request_id,
        }
        if self.right:
            body["right"] = self.right
        if self.errors:
            body["errors"] = [_error(one) for one in self.errors[:MAX_ERRORS]]
        return Response(orjson.dumps(body), self.status, dict(self.headers), MEDIA_TYPE)


class ProblemError(Exception):
    """Ends a request with a problem that is about HTTP itself."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def problem_of(error: Exception) -> Problem | None:
    """Return the problem that ``error`` is to a caller, or None for an error that nobody foresaw."""
    found: Problem | None = None
    match error:
        case ProblemError():
            found = error.problem
        case Invalid():
            found = invalid(error.errors)
        case RequestValidationError():
            found = invalid([_of_pydantic(detail) for detail in error.errors()])
        case NotFound():
            found = Problem(404, str(error))
        case Conflict():
            found = Problem(409, str(error))
        case HTTPException():
            found = Problem(error.status_code, str(error.detail), headers=error.headers or {})
        case StoreUnready() | psycopg.errors.UndefinedTable() | psycopg.errors.UndefinedFunction():
            found = _unavailable("The database is not migrated to this version: run `ordinaut migrate`.")
        case psycopg.OperationalError():  # also PoolTimeout
            found = _unavailable("The database does not answer. Nothing is lost; ask again in a moment.")
    return found


def right_missing(user: str, right: Right, *, namespace: str) -> Problem:
    """Return the refusal of a request whose caller lacks a right."""
    detail = f"{user} may not {right} in namespace {namespace}; ask for a role that can."
    return Problem(403, detail, right=str(right))


def invalid(errors: Sequence[FieldError]) -> Problem:
    """Return the problem of a request with these mistakes."""
    count = "1 mistake" if len(errors) == 1 else f"{len(errors)} mistakes"
    return Problem(422, f"The request has {count}: " + "; ".join(str(error) for error in errors[:3]), errors)


INTERNAL: Final = Problem(500, "Something went wrong inside. The request id leads to it in the log of the api.")
"""What a caller learns of an error that nobody foresaw."""


def _unavailable(detail: str) -> Problem:
    return Problem(503, detail, headers={"Retry-After": str(RETRY_AFTER)})


def _error(error: FieldError) -> dict[str, Any]:
    """Return one mistake as JSON: ``detail`` is the very text that kubectl and ``ordinaut validate`` print."""
    return {
        "detail": str(error),
        "pointer": pointer(error.field),
        "field": error.field,
        "value": _shown_value(error.value),
        "message": error.message or str(error.mistake),
        "remedy": error.remedy,
    }


def _shown_value(value: object) -> Any:
    """Return a refused value as the answer repeats it: texts cut short, and nothing of what is composed."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value if len(value) <= MAX_SHOWN_VALUE else value[: MAX_SHOWN_VALUE - 1] + "…"
    return None


_PART: Final = re.compile(r'\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|([^.\[\]]+)')


def pointer(path: str) -> str:
    """Return a field's path (``spec.schedules[0].cron``) as a JSON pointer (RFC 6901) in a URI fragment."""
    parts = (index or quoted or plain for index, quoted, plain in _PART.findall(path))
    return "#" + "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


_REMEDIES: Final = {
    "greater_than_equal": "write {ge} or more",
    "less_than_equal": "write {le} or less",
    "int_parsing": "write a whole number",
    "bool_parsing": "write true or false",
    "string_too_long": "write {max_length} characters at most",
    "too_long": "give {max_length} at most",
    "string_too_short": "write {min_length} characters or more",
    "too_short": "leave it out, or give {min_length} at least",
    "literal_error": "write one of {expected}",
    "enum": "write one of {expected}",
    "missing": "add it",
}
"""What to do about a parameter, by what pydantic calls the mistake."""


def _of_pydantic(detail: Mapping[str, Any]) -> FieldError:
    """Return a mistake in a path or query parameter."""
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"][1:]).removeprefix(".")
    if detail["type"] == "extra_forbidden":
        # Without the value, which may be a token that somebody sent in the wrong place.
        return FieldError(name, None, "unknown parameter", "leave it out", Mistake.UNKNOWN)
    context = detail.get("ctx", {})
    remedy = context.get("remedy") or _REMEDIES.get(detail["type"], "").format(**context)
    return FieldError(name, detail["input"], detail["msg"], str(remedy))
