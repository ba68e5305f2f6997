"""
Lists as PostgreSQL's binary arrays, written quickly.

psycopg calls the dumper of the elements from Python for each of them, which was a third of what firing cost the
operator. Keys, numbers and times have a fixed size, so a list of them can be joined at once; and a batch names the same
object over and over, such as one nominal time for all tasks. :mod:`pool` has all connections write lists so.
"""

from struct import pack
from typing import Any, Final

from psycopg import adapters, postgres
from psycopg.abc import Buffer
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


def register() -> None:
    """Have psycopg write lists so from now on, where a statement asks for binary (``%b``)."""
    adapters.register_dumper(list, QuickListDumper)
    # Registered last, it is what ``%s`` means, as without us.
    adapters.register_dumper(list, ListDumper)
