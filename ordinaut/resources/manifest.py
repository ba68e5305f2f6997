"""
The one way in: from a manifest as plain data to a checked model.

The operator calls `parse` with what the API server sends, ``ordinaut dev`` and the command line with what `yamldocs`
read from files, REST with a request's body. All get the same model or the same mistakes. What needs more than the
manifest itself (expressions, schedules that never fire, tools that do not exist) is left to the layers above.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from pydantic import Field, ValidationError

from ordinaut.errors import FieldError, Invalid, Mistake, shown
from ordinaut.resources.hook import HookSpec
from ordinaut.resources.jsonvalue import not_json
from ordinaut.resources.metadata import SERVER_FIELDS, Metadata
from ordinaut.resources.part import Part, broken_rules
from ordinaut.resources.pipeline import PipelineSpec
from ordinaut.resources.task import TaskSpec
from ordinaut.resources.tool import ToolSpec
from ordinaut.resources.wording import field_errors

GROUP: Final = "ordinaut.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"


class Resource(Part):
    """What all kinds have in common."""

    api_version: Literal["ordinaut.io/v1alpha1"]
    metadata: Metadata
    status: dict[str, Any] = Field(default={}, exclude=True)
    """Written by the operator only; see `ordinaut.resources.status`."""


class Task(Resource):
    """A task: what runs, when, and under which discipline."""

    kind: Literal["Task"]
    spec: TaskSpec


class Pipeline(Resource):
    """A pipeline: the steps that a run executes."""

    kind: Literal["Pipeline"]
    spec: PipelineSpec


class Tool(Resource):
    """A tool: something outside that a step can call."""

    kind: Literal["Tool"]
    spec: ToolSpec


class Hook(Resource):
    """A hook: a door for webhooks, whose signed deliveries become events."""

    kind: Literal["Hook"]
    spec: HookSpec


AnyResource = Task | Pipeline | Tool | Hook

AnyModel = type[Task] | type[Pipeline] | type[Tool] | type[Hook]

KINDS: Final[Mapping[str, AnyModel]] = {
    "Task": Task,
    "Pipeline": Pipeline,
    "Tool": Tool,
    "Hook": Hook,
}


def is_ordinaut(document: object) -> bool:
    """Whether ``document`` claims to be one of ours, whatever its version or kind."""
    version = document.get("apiVersion") if isinstance(document, Mapping) else None
    return isinstance(version, str) and version.split("/")[0] == GROUP


def parse(document: object, *, server_fields: bool = True) -> AnyResource:
    """
    Return ``document`` as a model, or raise `Invalid` with every mistake in it.

    ``server_fields=False`` refuses ``status`` and what only Kubernetes writes into ``metadata``, for callers that are
    not Kubernetes.
    """
    _refuse_if_any(not_json(document))
    kind = _kind_of(document)
    try:
        resource = kind.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        raise Invalid(list(field_errors(error, model=kind))) from None
    _refuse_if_any(broken_rules(resource))
    if not server_fields:
        _refuse_if_any(_set_by_server(resource))
    return resource


def _refuse_if_any(mistakes: Iterator[FieldError]) -> None:
    if found := list(mistakes):
        raise Invalid(found)


def _kind_of(document: object) -> AnyModel:
    """Return the model that ``document`` says it is."""
    if not isinstance(document, Mapping):
        raise Invalid([FieldError("", document, "not an object", "write apiVersion, kind, metadata and spec")])
    version, kind = document.get("apiVersion"), document.get("kind")
    missing = [name for name, value in (("apiVersion", version), ("kind", kind)) if value is None]
    if missing:
        raise Invalid([FieldError(name, None, "", "", Mistake.REQUIRED) for name in missing])
    if version == API_VERSION and isinstance(kind, str) and kind in KINDS:
        return KINDS[kind]
    message = f"no matches for kind {shown(kind)} in version {shown(version)}"
    remedy = f"write {API_VERSION} and one of {', '.join(KINDS)}"
    field, value = ("kind", kind) if version == API_VERSION else ("apiVersion", version)
    raise Invalid([FieldError(field, value, message, remedy)])


def _set_by_server(resource: AnyResource) -> Iterator[FieldError]:
    """Yield a mistake for each field that only the server may set."""
    if resource.has("status"):
        yield not_yours("status", resource.status)
    for name in SERVER_FIELDS:
        if resource.metadata.has(name):
            yield not_yours(f"metadata.{name}", [])


def not_yours(field: str, value: object) -> FieldError:
    """Return the mistake of setting what only the server sets."""
    return FieldError(field, value, "not yours to set", "leave it out: it is set by the server")
