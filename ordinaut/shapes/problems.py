"""What is wrong with a request."""

from typing import Any

from ordinaut.shapes.base import Shape


class Error(Shape):
    """One mistake in a request."""

    detail: str
    """The very text that kubectl and ``ordinaut validate`` show."""
    pointer: str
    """Where it is, as a JSON pointer (RFC 6901) into the body."""
    field: str
    """Where it is, as Kubernetes writes it; also the name of a header or of a parameter of the query."""
    value: Any = None
    message: str
    remedy: str


class ProblemShape(Shape):
    """Problem details of RFC 9457; ``errors`` has one entry per mistake in the request."""

    type: str
    """What kind of problem it is; stable, for programs to decide by."""
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    right: str | None = None
    """The right that the caller lacks, such as ``create tasks/run``."""
    errors: list[Error] | None = None
