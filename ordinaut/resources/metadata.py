"""
``metadata`` of every resource: what a user writes, and what the API server adds to it.

The operator reads objects as the API server sends them, so its own fields are known here; REST refuses them in what a
caller sends (`manifest.parse` with ``server_fields=False``).
"""

from typing import Annotated, Any, Final

from pydantic import Field

from ordinaut.resources.part import Part
from ordinaut.resources.rules import Rule
from ordinaut.resources.scalars import Name

MAX_ANNOTATIONS_SIZE: Final = 256 * 1024
"""Bytes of all keys and values of annotations, as in Kubernetes."""

SERVER_FIELDS: Final = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "ownerReferences",
    "finalizers",
    "selfLink",
    "generateName",
)
"""What only Kubernetes and its controllers set."""

_Annotations = Annotated[
    dict[str, str],
    Rule(
        cel="true",  # the API server checks the metadata of every object by itself
        holds=lambda all_: (
            sum(len(key.encode()) + len(text.encode()) for key, text in all_.items()) <= MAX_ANNOTATIONS_SIZE
        ),
        message="too large",
        remedy=f"keep all annotations together within {MAX_ANNOTATIONS_SIZE} bytes",
    ),
]


class Metadata(Part):
    """The name of an object, what is attached to it, and what the API server keeps of it."""

    name: Name
    namespace: Name = "default"
    labels: dict[str, str] = Field(default={}, max_length=256)
    annotations: _Annotations = Field(default={})

    uid: str | None = None
    resource_version: str | None = None
    generation: int | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    managed_fields: list[Any] = Field(default=[])
    owner_references: list[Any] = Field(default=[])
    finalizers: list[str] = Field(default=[])
    self_link: str | None = None
    generate_name: str | None = None
