"""Shows that kept JSON is given again for an equal row only, and within its room."""

import pytest

from ordinaut.store.declared import Key
from ordinaut_api import unchanged
from ordinaut_api.unchanged import Unchanged

KEY = Key("Task", "default", "briefing")


def test_an_equal_row_gives_the_same_json_and_any_other_none() -> None:
    kept: Unchanged[tuple[int, ...]] = Unchanged()
    assert kept.get(KEY, (1,)) is None
    assert kept.keep(KEY, (1,), b"{}") == b"{}"
    assert kept.get(KEY, (1,)) == b"{}"
    assert kept.get(KEY, (2,)) is None
    assert kept.get(Key("Task", "other", "briefing"), (1,)) is None


def test_room_is_bounded_and_what_is_large_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unchanged, "SIZE", 100)
    monkeypatch.setattr(unchanged, "LARGEST", 60)
    kept: Unchanged[int] = Unchanged()
    keys = [Key("Task", "default", f"t{number}") for number in range(3)]
    for key in keys:
        kept.keep(key, 1, b"x" * 50)
    assert [kept.get(key, 1) is None for key in keys] == [True, False, False]
    assert kept.keep(KEY, 1, b"x" * 61) == b"x" * 61
    assert kept.get(KEY, 1) is None
