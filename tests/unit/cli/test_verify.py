"""``ordinaut verify``: parts of a ledger add up, and what can't be told is not called right."""

from typing import Any

from ordinaut_cli.commands.verify import added, is_kept

PART: dict[str, Any] = {
    "task": "hello",
    "since": "2026-01-01T00:00:00.000Z",
    "after": "2026-01-01T00:00:00.000Z",
    "until": "2026-01-02T00:00:00.000Z",
    "nominal": 10,
    "fired": 6,
    "skipped": 3,
    "pending": 0,
    "violated": 1,
    "violations": [{"invariant": "unaccounted_time", "detail": "first"}],
}
LAST: dict[str, Any] = {
    **PART,
    "since": "2026-01-02T12:00:00.000Z",
    "after": "2026-01-02T00:00:00.000Z",
    "until": "2026-01-03T00:00:00.000Z",
    "nominal": 5,
    "fired": 2,
    "skipped": 1,
    "pending": 2,
    "violated": 0,
    "violations": [],
}


def test_parts_add_up() -> None:
    assert added([PART]) == PART
    assert added([PART, LAST, LAST]) == {
        **PART,
        "since": LAST["since"],
        "until": LAST["until"],
        "nominal": 20,
        "fired": 10,
        "skipped": 5,
        "pending": 4,
        "violated": 1,
    }
    assert PART["violations"] == added([PART, LAST])["violations"]


def test_the_law_holds_only_where_it_can_be_told() -> None:
    assert is_kept([LAST, LAST])
    assert is_kept([])
    assert not is_kept([LAST, PART])
    assert not is_kept([{**LAST, "unknown": "other data"}])
    assert "unknown" in added([LAST, {**LAST, "unknown": "other data"}])
