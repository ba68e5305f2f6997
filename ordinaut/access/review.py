"""
The questions that the Kubernetes API server is asked about callers, and what its answers mean.

The api asks at each request, the operator when a task comes due that somebody made by REST; each sends the question
with its own client. Pure: bodies in, decisions out. An answer that can't be understood means no.
"""

from collections.abc import Mapping
from typing import Any, Final

from ordinaut.access.caller import Authority, Caller
from ordinaut.access.rights import Right
from ordinaut.resources.manifest import GROUP

TOKEN_REVIEWS: Final = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105 - a path
SUBJECT_ACCESS_REVIEWS: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
"""Where the questions are posted."""

_OF_THE_TOKEN: Final = frozenset(
    f"authentication.kubernetes.io/{name}"
    for name in ("credential-id", "issued-credential-id", "node-name", "node-uid", "pod-name", "pod-uid")
)
"""Extras that tell one token of an identity from the next: kept, they would make each of them a caller of its own."""


def token_review(token: str, *, audience: str) -> dict[str, Any]:
    """Return the question whose a token is, if it is meant for ``audience``."""
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [audience]},
    }


def reviewed(answer: Mapping[str, Any], *, audience: str) -> Caller | None:
    """Return the caller that a TokenReview found; None if the token is not good, or not meant for ``audience``."""
    status = _mapping(answer.get("status"))
    user = _mapping(status.get("user"))
    # An authenticator that knows no audiences vouches for any token; the answer's own list tells the difference.
    meant = status.get("authenticated") is True and audience in _texts(status.get("audiences"))
    name = user.get("username")
    if not meant or status.get("error") or not isinstance(name, str) or not name.isprintable() or not name:
        return None
    extra = {str(key): _texts(values) for key, values in _mapping(user.get("extra")).items()}
    caller = Caller(
        Authority.KUBERNETES,
        name,
        groups=_texts(user.get("groups")),
        uid=str(user.get("uid") or ""),
        extra=tuple(sorted((key, values) for key, values in extra.items() if key not in _OF_THE_TOKEN)),
    )
    return caller if _can_be_kept(caller) else None


def subject_access_review(caller: Caller, right: Right, *, namespace: str) -> dict[str, Any]:
    """Return the question whether a caller holds a right in a namespace."""
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "namespace": namespace,
        "verb": right.verb,
        "group": GROUP,
        "resource": resource,
        "subresource": subresource,
    }
    spec = {
        "resourceAttributes": attributes,
        "user": caller.user,
        "groups": list(caller.groups),
        "uid": caller.uid,
        "extra": {key: list(values) for key, values in caller.extra},
    }
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {key: value for key, value in spec.items() if value},
    }


def is_allowed(answer: Mapping[str, Any]) -> bool:
    """Whether a SubjectAccessReview's answer is yes."""
    status = _mapping(answer.get("status"))
    return status.get("allowed") is True and status.get("denied") is not True


def _can_be_kept(caller: Caller) -> bool:
    """Whether PostgreSQL takes the identity: it has no NUL."""
    texts = (caller.uid, *caller.groups, *(text for key, values in caller.extra for text in (key, *values)))
    return not any("\0" in text for text in texts)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, list) else ()
