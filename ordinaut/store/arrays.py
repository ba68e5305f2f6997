"""
Lists as PostgreSQL's binary arrays, written quickly.

psycopg calls the dumper of the elements from Python for each of them, which was a third of what firing cost the
operator. Keys, numbers and times have a fixed size, so a list of them can be joined at once; and a batch names the same
object over and over, such as one nominal time for all tasks. :mod:`pool` has all connections write lists so.

Finding out what a list holds, and whether anything of it is missing, costs more than writing it. Where thousands of
rows a second are written the caller says it: :func:`texts` and the others return arrays that are sent as they are.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from struct import Struct, error, pack
from typing import Any, Final, TypeVar
from uuid import UUID

from psycopg import DataError, adapters, postgres
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types.array import ListBinaryDumper, ListDumper

_SIZES: Final = {
    postgres.types[name].oid: size
    for name, size in {"int2": 2, "int4": 4, "int8": 8, "uuid": 16, "timestamptz": 8}.items()
}
"""Bytes of an element by its type."""


class QuickListDumper(ListBinaryDumper):
    """Writes flat lists to the same bytes as psycopg does."""

    def _dump_list(self, L: list[Any], dim: int, dims: list[int], data: list[Buffer]) -> int:  # noqa: N803 - its name
        if len(dims) > 1 or self.sub_dumper is None or type(None) in set(map(type, L)):
            return super()._dump_list(L, dim, dims, data)
        dump: Any = self.sub_dumper.dump
        if L[0] is L[-1] and all(item is L[0] for item in L):
            value = dump(L[0])
            data.append((pack("!i", len(value)) + value) * len(L))
        elif size := _SIZES.get(self.sub_dumper.oid):
            length = pack("!i", size)
            data.append(length + length.join(map(dump, L)))
        else:
            return super()._dump_list(L, dim, dims, data)
        return 0


class Array(bytes):
    """An array as it is sent."""

    element: int
    """The type of its elements."""


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Any) -> Buffer:
        """Return the array as it is."""
        return bytes(obj)


def _kind(name: str) -> type[Array]:
    found = postgres.types[name]
    kind = type(f"{name.capitalize()}Array", (Array,), {"element": found.oid})
    adapters.register_dumper(kind, type(f"{kind.__name__}Dumper", (_ArrayDumper,), {"oid": found.array_oid}))
    return kind


_INT2, _INT4, _INT8, _TEXT, _BYTEA, _UUID, _TIMESTAMPTZ = map(
    _kind, ("int2", "int4", "int8", "text", "bytea", "uuid", "timestamptz")
)
_NULL: Final = pack("!i", -1)
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)

Value = TypeVar("Value")


def int2s(values: Sequence[int]) -> Array:
    """Return a ``smallint[]``."""
    return _array(_INT2, values, _number("h"))


def int4s(values: Sequence[int]) -> Array:
    """Return an ``integer[]``."""
    return _array(_INT4, values, _number("i"))


def int8s(values: Sequence[int]) -> Array:
    """Return a ``bigint[]``."""
    return _array(_INT8, values, _number("q"))


def texts(values: Sequence[str | bytes | None]) -> Array:
    """Return a ``text[]``; bytes are text in UTF-8 already."""
    return _array(_TEXT, values, _text)


def byteas(values: Sequence[bytes | None]) -> Array:
    """Return a ``bytea[]``."""
    return _array(_BYTEA, values, _text)


def timestamptzs(values: Sequence[datetime]) -> Array:
    """Return a ``timestamptz[]``."""
    number = _number("q")
    return _array(_TIMESTAMPTZ, values, lambda value: number(_microseconds(value)))


def uuids(values: Sequence[UUID]) -> Array:
    """Return a ``uuid[]``."""
    length = pack("!i", 16)
    return _sent(_UUID, len(values), b"".join([length + value.int.to_bytes(16, "big") for value in values]))


def _array(kind: type[Array], values: Sequence[Value], write: Callable[[Value], bytes]) -> Array:
    """
    Write values; most often all of them are the same.

    Raises:
        psycopg.DataError: the type can't hold one of them, as PostgreSQL would say.
    """
    try:
        if values and values.count(values[0]) == len(values):
            return _sent(kind, len(values), write(values[0]) * len(values))
        return _sent(kind, len(values), b"".join(map(write, values)))
    except (error, UnicodeEncodeError) as mistake:
        raise DataError(str(mistake)) from None


def _sent(kind: type[Array], count: int, elements: bytes) -> Array:
    """Put the header before elements: dimensions, whether there may be nulls, type, and the length of the dimension."""
    if not count:
        return kind(pack("!iii", 0, 0, kind.element))
    return kind(pack("!iiiii", 1, 1, kind.element, count, 1) + elements)


def _number(code: str) -> Callable[[int], bytes]:
    written = Struct(f"!i{code}")
    size = written.size - 4
    return lambda value: written.pack(size, value)


def _text(value: str | bytes | None) -> bytes:
    if value is None:
        return _NULL
    text = value if isinstance(value, bytes) else value.encode()
    return pack("!i", len(text)) + text


def _microseconds(value: datetime) -> int:
    since = value - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def register() -> None:
    """Have psycopg write lists so from now on, where a statement asks for binary (``%b``)."""
    adapters.register_dumper(list, QuickListDumper)
    # Registered last, it is what ``%s`` means, as without us.
    adapters.register_dumper(list, ListDumper)
