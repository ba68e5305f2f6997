"""What many operations share: parameters, headers, security and problems, as components of the document."""

from typing import Any, Final

from ordinaut.resources.scalars import MAX_NAME, NAME_PATTERN
from ordinaut_api.change import KEY, MAX_KEY, REPLAYED
from ordinaut_api.openapi.schemas import reference
from ordinaut_api.problems import MEDIA_TYPE, SLUGS, TYPE_PREFIX

Part = dict[str, Any]

_ETAG_PATTERN: Final = r'^(\*|"[!#-~]*"(, *"[!#-~]*")*)$'


def _header(name: str, description: str, **schema: Any) -> Part:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


PARAMETERS: Final[dict[str, Part]] = {
    "namespace": {
        "name": "namespace",
        "in": "path",
        "required": True,
        "description": "The namespace, which is the tenant.",
        "schema": {"type": "string", "pattern": NAME_PATTERN, "maxLength": MAX_NAME, "minLength": 1},
        "example": "default",
    },
    "idempotencyKey": _header(
        KEY,
        "Names this request: sent again with the same key, it is answered as before and done once. Kept for a day.",
        type="string",
        minLength=1,
        maxLength=MAX_KEY,
        pattern="^[ -~]+$",
    ),
    "ifMatch": _header(
        "If-Match",
        "Only if the object still has one of these ETags; `*`: only if it exists.",
        type="string",
        pattern=_ETAG_PATTERN,
        maxLength=4096,
    ),
    "ifNoneMatch": _header("If-None-Match", "`*`: only if there is no such object.", type="string", const="*"),
    "lastEventId": _header(
        "Last-Event-ID", "The id of the last event that was received: what it told is not told again.", type="string"
    ),
}
"""Parameters beside those that a route declares itself."""

HEADERS: Final[dict[str, Part]] = {
    "ETag": {
        "description": "What `If-Match` takes: changes with all that callers can write, never with the status.",
        "schema": {"type": "string"},
    },
    "Location": {"description": "Where the new object is.", "schema": {"type": "string"}},
    REPLAYED: {
        "description": "`true`: the answer that the first request with this key got.",
        "schema": {"type": "string", "const": "true"},
    },
}

_SAYS: Final[dict[int, str]] = {
    400: "The body is not JSON.",
    401: "There is no good token with the request.",
    403: "The caller may not do this in this namespace, or its quota is used up.",
    404: "There is no such object.",
    409: "The state of the object forbids it, the name belongs to somebody else, or the key was used before.",
    412: "The object is not what `If-Match` or `If-None-Match` says.",
    413: "The body is too large.",
    415: "The body has another type.",
    422: "Something in the request is wrong; `errors` has one entry for each mistake.",
    429: "The caller asks for too much; `Retry-After` says when to ask again.",
    503: "The database or the API server does not answer; ask again after `Retry-After` seconds.",
}
_RETRIED: Final = (429, 503)


def problem_name(status: int) -> str:
    """Return the name of the component that stands for problems of a status."""
    return f"Problem{status}"


def responses() -> dict[str, Part]:
    """Return the components for problems, by name."""
    return {problem_name(status): _problem(status) for status in _SAYS}


def _problem(status: int) -> Part:
    slugs = [slug for slug, of in SLUGS.items() if of == status]
    schema = {
        "allOf": [
            reference("Problem"),
            {"properties": {"type": {"enum": [TYPE_PREFIX + slug for slug in slugs]}, "status": {"const": status}}},
        ]
    }
    response: Part = {"description": _SAYS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
    if status in _RETRIED:
        response["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}
    if status == 401:  # noqa: PLR2004
        response["headers"] = {"WWW-Authenticate": {"description": "How to identify.", "schema": {"type": "string"}}}
    return response


SECURITY: Final[dict[str, Part]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of a Kubernetes service account with the audience `ordinaut`, one of OpenID Connect, "
        "or a static one. On the loopback interface of a local installation none is needed.",
    },
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": "The signature of the body, in the style that the hook names: Standard Webhooks in this header, "
        "GitHub in X-Hub-Signature-256, Stripe in Stripe-Signature.",
    },
}

TAGS: Final = (
    ("tasks", "What runs, when, and under which discipline."),
    ("pipelines", "The steps that runs execute."),
    ("tools", "What steps can call."),
    ("hooks", "Doors for webhooks, whose deliveries become events."),
    ("runs", "What happened, what is happening."),
    ("backfills", "Making up for what did not fire."),
    ("events", "What was told, by callers and by Ordinaut itself."),
    ("quota", "How many objects a namespace may have."),
    ("audit", "Who changed what, and who was not allowed to."),
    ("identity", "Who the caller is."),
    ("health", "Whether the process is alive."),
)
