"""
How answers become objects.

A client has one :data:`Reader`. :func:`as_shapes` is the usual one. :func:`as_sent` keeps the JSON as the API sent it:
the command line uses it, so that what a newer API says is printed too, and so that nobody waits for pydantic to load.
"""

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]

Reader = Callable[[str, Json], Any]
"""Makes the object of a shape, by the shape's name, from JSON."""


def as_shapes(shape: str, answer: Json) -> Any:
    """Return an object of ``ordinaut.shapes``."""
    from ordinaut import shapes  # noqa: PLC0415 - slow to load, and not everybody needs it

    return getattr(shapes, shape).model_validate(answer)


def as_sent(shape: str, answer: Json) -> Any:  # noqa: ARG001 - a Reader
    """Return the JSON."""
    return answer
