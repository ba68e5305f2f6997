"""What all shapes are made of: the base class, times, and the parts that every object and list has."""

from datetime import UTC, datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, PlainSerializer
from pydantic.alias_generators import to_camel

from ordinaut.states import Origin


def _rfc3339(precision: str) -> PlainSerializer:
    def text(instant: datetime) -> str:
        return instant.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")

    return PlainSerializer(text, return_type=str)


NominalTime = Annotated[datetime, _rfc3339("seconds")]
Instant = Annotated[datetime, _rfc3339("milliseconds")]


class Shape(BaseModel):
    """The base of all shapes."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        serialize_by_alias=True,
        frozen=True,
        use_attribute_docstrings=True,
    )


class Metadata(Shape):
    """What names an object."""

    namespace: str
    name: str
    uid: str
    generation: int | None = None
    """Counts the changes of the spec."""
    resource_version: str | None = None
    """Changes with whatever a caller can write: spec, labels, annotations, pause and snooze, but never with the status.
    The ETag of the object is ``"<uid>.<resourceVersion>"``."""
    creation_timestamp: Instant | None = None
    origin: Origin | None = None
    """Where a declared object comes from, and so who may edit it."""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class Condition(Shape):
    """One observed condition, as ``metav1.Condition`` without the time of its last change."""

    type: str
    status: Literal["True", "False", "Unknown"]
    observed_generation: int
    reason: str
    message: str


class Object(Shape):
    """What every object has."""

    api_version: Literal["ordinaut.io/v1alpha1"] = "ordinaut.io/v1alpha1"
    kind: str
    metadata: Metadata


Item = TypeVar("Item")


class Page(Shape, Generic[Item]):
    """Part of a list. ``nextCursor`` leads to the next part and is missing in the last one."""

    items: list[Item]
    next_cursor: str | None = None
