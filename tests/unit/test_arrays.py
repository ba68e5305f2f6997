"""Lists as binary arrays: the same bytes as psycopg's own, by every pool."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from importlib import import_module
from typing import Any
from uuid import UUID

import pytest
from psycopg import DataError, postgres
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import Format
from psycopg.types.array import ListBinaryDumper

from ordinaut.states import StepPhase
from ordinaut.store import arrays
from ordinaut.store.arrays import Array, QuickListDumper

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


@pytest.mark.parametrize(
    ("write", "name", "values"),
    [
        (arrays.int2s, "int2", [1, -(2**15), 2**15 - 1]),
        (arrays.int4s, "int4", [7] * 5),
        (arrays.int8s, "int8", [2**40, -3]),
        (arrays.texts, "text", ["a", "", None, "ü" * 300]),
        (arrays.texts, "text", [None, None]),
        (arrays.texts, "text", [StepPhase.FAILED, StepPhase.FAILED]),
        (arrays.byteas, "bytea", [b"", None, b"\0" * 40]),
        (arrays.uuids, "uuid", [*KEYS, KEYS[0]]),
        (arrays.timestamptzs, "timestamptz", [AT, AT + timedelta(days=40_000, microseconds=1), AT.replace(year=1)]),
        (arrays.timestamptzs, "timestamptz", [AT.astimezone(timezone(timedelta(hours=5))), AT]),
        (arrays.int2s, "int2", []),
        (arrays.texts, "text", []),
    ],
)
def test_an_array_that_is_sent_as_it_is_holds_the_values(
    write: Callable[[Sequence[Any]], Array], name: str, values: list[Any]
) -> None:
    array = write(values)

    dumper = Transformer().get_dumper(array, PyFormat.BINARY)
    assert dumper.dump(array) == bytes(array)
    assert dumper.oid == postgres.types[name].array_oid
    transformer = Transformer()
    assert transformer.get_loader(dumper.oid, Format.BINARY).load(bytes(array)) == values


def test_json_that_is_text_already_is_sent_as_it_is() -> None:
    assert arrays.texts([b'{"a":"\xc3\xbc"}', None]) == arrays.texts(['{"a":"ü"}', None])


@pytest.mark.parametrize(
    ("write", "values"), [(arrays.int2s, [1, 2**15]), (arrays.int4s, [2**31]), (arrays.texts, ["a", "\udc80"])]
)
def test_what_a_type_cannot_hold_is_refused_as_postgresql_would(
    write: Callable[[Sequence[Any]], Array], values: list[Any]
) -> None:
    with pytest.raises(DataError):
        write(values)
