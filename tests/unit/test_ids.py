"""Keys of runs."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import RFC_4122

from ordinaut.store.ids import new_run_id

MOMENT = datetime(2026, 3, 29, 1, 0, 0, 123_456, tzinfo=UTC)


def test_a_key_is_a_uuid_version_7_of_its_moment() -> None:
    key = new_run_id(MOMENT)

    assert (key.version, key.variant) == (7, RFC_4122)
    assert datetime.fromtimestamp((key.int >> 80) / 1000, tz=UTC) == MOMENT.replace(microsecond=123_000)


def test_keys_of_one_moment_keep_their_order() -> None:
    # The counter begins anew every 16,384 keys; at most one pair in as many may be out of order.
    keys = [new_run_id(MOMENT) for _ in range(10_000)]

    assert len(set(keys)) == len(keys)
    assert sum(one > other for one, other in pairwise(keys)) <= 1


def test_a_later_moment_gives_a_later_key_down_to_the_microsecond() -> None:
    moments = [MOMENT + timedelta(microseconds=n) for n in range(2000)]

    keys = [new_run_id(moment) for moment in reversed(moments)][::-1]

    assert keys == sorted(keys)
    assert len({key.int >> 64 for key in keys}) == len(keys)
