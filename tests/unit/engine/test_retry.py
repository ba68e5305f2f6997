"""Back-off of retries."""

from datetime import timedelta

import pytest

from ordinaut.engine.retry import MAX_DELAY, NO_RETRY, next_delay
from ordinaut.resources.retry import Backoff, RetryStrategy


def strategy(*, limit: int = 3, jitter: str = "None", cap: str = "1m", factor: float = 2.0) -> RetryStrategy:
    return RetryStrategy.model_validate(
        {"limit": limit, "backoff": {"duration": "1s", "factor": factor, "cap": cap, "jitter": jitter}}
    )


def seconds(*, failures: int, of: RetryStrategy, asked: timedelta | None = None, draw: float = 0.5) -> float | None:
    delay = next_delay(of, failures=failures, asked=asked, draw=lambda: draw)
    return None if delay is None else delay.total_seconds()


def test_grows_by_the_factor_up_to_the_limit() -> None:
    assert [seconds(failures=n, of=strategy()) for n in (1, 2, 3, 4)] == [1, 2, 4, None]


def test_never_exceeds_the_cap() -> None:
    assert seconds(failures=90, of=strategy(limit=100, cap="10s")) == 10


def test_survives_numbers_that_overflow() -> None:
    assert seconds(failures=100, of=strategy(limit=100, factor=10.0, cap="5s")) == 5


@pytest.mark.parametrize(("draw", "expected"), [(0.0, 0), (0.25, 1), (0.999, 3.996)])
def test_full_jitter_draws_from_the_whole_back_off(draw: float, expected: float) -> None:
    assert seconds(failures=3, of=strategy(jitter="Full"), draw=draw) == pytest.approx(expected)


def test_never_undercuts_what_the_server_asked_for() -> None:
    assert seconds(failures=1, of=strategy(), asked=timedelta(seconds=30)) == 30
    assert seconds(failures=3, of=strategy(), asked=timedelta(seconds=1)) == 4


def test_no_server_can_ask_for_years() -> None:
    assert seconds(failures=1, of=strategy(), asked=timedelta(days=4000)) == MAX_DELAY.total_seconds()


def test_without_a_strategy_nothing_is_tried_again() -> None:
    assert seconds(failures=1, of=NO_RETRY) is None


def test_defaults_are_those_of_the_resource() -> None:
    assert seconds(failures=1, of=RetryStrategy(), draw=1.0) == 1
    assert RetryStrategy().backoff == Backoff()
