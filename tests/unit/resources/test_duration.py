from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordinaut.errors import Invalid
from ordinaut.resources.duration import MAX_DURATION_LENGTH, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("0s", timedelta()),
        ("30s", timedelta(seconds=30)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("1h0m0s", timedelta(hours=1)),
        ("2d12h", timedelta(days=2, hours=12)),
        ("1500ms", timedelta(seconds=1.5)),
        (
            "999999d99999h9999999m999999999s999999999999ms",
            timedelta(999999, 999999999, 0, 999999999999, 9999999, 99999),
        ),
    ],
)
def test_units_add_up(text: str, span: timedelta) -> None:
    assert parse_duration(text) == span


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "30",
        "1.5h",
        "1m1h",
        "1h1h",
        "-5s",
        "+5s",
        " 5s",
        "5s ",
        "5s\n",
        "5 s",
        "٥s",
        "５s",
        "1e3s",
        "PT15M",
        "9" * 5000 + "s",
    ],
)
def test_anything_else_is_refused_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(Invalid, match="write whole numbers with units") as refused:
        parse_duration(text, field="spec.timeout")
    (error,) = refused.value.errors
    assert (error.field, error.value) == ("spec.timeout", text)


@given(st.integers(min_value=0, max_value=10**13).map(lambda number: timedelta(milliseconds=number)))
def test_what_is_formatted_is_read_back(span: timedelta) -> None:
    text = format_duration(span)
    assert parse_duration(text) == span
    assert len(text) <= MAX_DURATION_LENGTH


def test_formatting_uses_the_largest_units() -> None:
    assert format_duration(timedelta(seconds=5400)) == "1h30m"
    assert format_duration(timedelta()) == "0s"


def test_a_negative_span_is_no_duration() -> None:
    with pytest.raises(ValueError, match="negative"):
        format_duration(timedelta(seconds=-1))
