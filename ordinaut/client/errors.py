"""
What can go wrong between a program and the API, in one tree.

``connection`` raises these and nothing else; none of them ever holds a token. Whoever catches decides by the type::

    ClientError
    ├── Unreachable             no answer, however often it was tried
    ├── NotTheApi               something answered, but not the API of Ordinaut
    ├── TokenUnavailable        the source of the token gave none
    ├── WrongName               a name that can't be part of a path
    └── ProblemError            the API refused; carries the problem of RFC 9457
        ├── Unauthenticated         401  nobody knows this token
        ├── Forbidden               403  the caller does not hold the right
        │   └── QuotaExceeded       403  the namespace is full
        ├── NotFound                404
        ├── Conflict                409  the object's present state forbids it
        │   └── KeyReused           409  the Idempotency-Key belongs to another request
        ├── PreconditionFailed      412  the object has changed since it was read
        ├── Invalid                 400, 413, 415, 422  the request is wrong; ``errors`` says where
        ├── RateLimited             429  too many requests; ``retry_after`` says when
        └── Unavailable             500 and more
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ordinaut.errors import OrdinautError

TYPE_PREFIX: Final = "urn:ordinaut:problem:"


class ClientError(OrdinautError):
    """Something went wrong between this program and the API."""


class Unreachable(ClientError):
    """The API did not answer."""


class NotTheApi(ClientError):
    """Something answered that is not the API of Ordinaut."""


class TokenUnavailable(ClientError):
    """The source of the token gave none."""


class WrongName(ClientError, ValueError):
    """The name can't be part of a path."""


class ProblemError(ClientError):
    """
    The API refused a request.

    ``type`` is the stable URI to decide by, ``errors`` has one entry for each mistake in the request (``field``,
    ``pointer``, ``value``, ``message``, ``remedy``, ``detail``), and ``retry_after`` is the number of seconds after
    which to ask again, where the API gave one.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], *, retry_after: float | None = None) -> None:
        self.status = status
        self.type = str(problem.get("type", "about:blank"))
        self.title = str(problem.get("title", ""))
        self.detail = str(problem.get("detail") or f"HTTP {status}")
        self.request_id = str(problem.get("requestId", ""))
        self.errors: Sequence[Mapping[str, Any]] = tuple(problem.get("errors") or ())
        self.problem = problem
        self.retry_after = retry_after
        super().__init__(self.detail)


class Unauthenticated(ProblemError):
    """The API does not know who calls."""


class Forbidden(ProblemError):
    """The caller does not hold the right; ``right`` names it, as ``create tasks/run``, where the API did."""

    @property
    def right(self) -> str | None:
        """The right that is missing."""
        return self.problem.get("right")


class QuotaExceeded(Forbidden):
    """The namespace holds as many objects as it may."""


class NotFound(ProblemError):
    """The object does not exist."""


class Conflict(ProblemError):
    """The object's present state forbids this."""


class KeyReused(Conflict):
    """The Idempotency-Key was used for another request."""


class PreconditionFailed(ProblemError):
    """The object has changed since it was read."""


class Invalid(ProblemError):
    """The request is wrong."""


class RateLimited(ProblemError):
    """The caller has sent too many requests."""


class Unavailable(ProblemError):
    """The API can't do it now."""


_BY_TYPE: Final[Mapping[str, type[ProblemError]]] = {
    f"{TYPE_PREFIX}quota-exceeded": QuotaExceeded,
    f"{TYPE_PREFIX}idempotency-conflict": KeyReused,
}

_BY_STATUS: Final[Mapping[int, type[ProblemError]]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: PreconditionFailed,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: RateLimited,
}

_SERVER_ERROR: Final = 500


def problem_error(status: int, problem: Mapping[str, Any], *, retry_after: float | None = None) -> ProblemError:
    """Return the error of a problem: by its type where that says more than the status."""
    by_status = _BY_STATUS.get(status, Unavailable if status >= _SERVER_ERROR else ProblemError)
    return _BY_TYPE.get(str(problem.get("type")), by_status)(status, problem, retry_after=retry_after)
