"""Lists as binary arrays: the same bytes as psycopg's own, by every pool."""

from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any
from uuid import UUID

import pytest
from psycopg.adapt import PyFormat, Transformer
from psycopg.types.array import ListBinaryDumper

from ordinaut.store.arrays import QuickListDumper

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
KEYS = [UUID(int=n) for n in (1, 2**127, 3)]


def written(values: list[Any], dumper: type[ListBinaryDumper]) -> tuple[bytes, int]:
    """Return an array in binary, and its type."""
    one = dumper(list, Transformer()).upgrade(values, PyFormat.BINARY)
    data = one.dump(values)
    assert data is not None
    return bytes(data), one.oid


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3],
        [1, -(2**15), 2**15],
        [2**40, -3],
        [7] * 5,
        [1, None],
        KEYS,
        [*KEYS, None],
        [KEYS[0]] * 3,
        [KEYS[0], KEYS[1], KEYS[0]],
        [AT, AT + timedelta(microseconds=1)],
        [AT] * 4,
        [AT, None, AT],
        ["a", "", "ü" * 300],
        ["same"] * 3,
        [b"", b"\0" * 40],
        [True, False, True],
        [1.5, 2.5],
        [[1, 2], [3, 4]],
        [["a", None], ["b", "c"]],
        [None, None],
        [],
    ],
)
def test_lists_become_the_same_bytes_as_without_us(values: list[Any]) -> None:
    assert written(values, QuickListDumper) == written(values, ListBinaryDumper)


def test_every_statement_of_the_store_writes_its_lists_so() -> None:
    import_module("ordinaut.store.pool")
    transformer = Transformer()
    assert isinstance(transformer.get_dumper([1], PyFormat.BINARY), QuickListDumper)
    assert not isinstance(transformer.get_dumper([1], PyFormat.AUTO), ListBinaryDumper)
