"""What a tool may answer."""

from typing import Any

import pytest

from ordinaut.errors import Permanent
from ordinaut_worker.output import encode


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (None, b"null"),
        ({"a": [1, 2.5, True, "ü"]}, '{"a":[1,2.5,true,"ü"]}'.encode()),
        ("\\u0000 written out", b'"\\\\u0000 written out"'),
        (2**64 - 1, b"18446744073709551615"),
    ],
)
def test_json_is_kept(value: Any, encoded: bytes) -> None:
    assert encode(value, limit=100) == encoded


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "can't be kept as JSON"),
        ({1: "x"}, "can't be kept as JSON"),
        (2**64, "can't be kept as JSON"),
        ("\ud800", "can't be kept as JSON"),
        ({"deep": ["a\x00b"]}, "holds a NUL character, which can't be kept; remove it in the tool"),
        ({"a\x00b": 1}, "holds a NUL character"),
        ("x" * 99, "has 101 bytes, more than the 100 allowed; return a reference to it instead"),
    ],
)
def test_what_cannot_be_kept_is_refused_for_good(value: Any, message: str) -> None:
    with pytest.raises(Permanent, match=message):
        encode(value, limit=100)
