"""Answers are remembered as long as they say, one question serves all who wait, and floods push nothing out."""

import asyncio

import pytest

from ordinaut_api.identity.remembered import Answer, Remembered


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Oracle:
    """Counts the questions, and answers when it is let."""

    def __init__(self, value: str | None = "yes", *, seconds: float = 10) -> None:
        self.asked = 0
        self.value = value
        self.seconds = seconds
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.error: Exception | None = None

    async def __call__(self) -> Answer[str | None]:
        self.asked += 1
        await self.may_answer.wait()
        if self.error:
            raise self.error
        return Answer(self.value, self.seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def remembered(clock: Clock) -> Remembered[str, str | None]:
    return Remembered(size=10, clock=clock)


@pytest.mark.parametrize("value", ["yes", None])
async def test_an_answer_holds_for_its_time(
    remembered: Remembered[str, str | None], clock: Clock, value: str | None
) -> None:
    oracle = Oracle(value)
    for moment, asked in ((0.0, 1), (9.9, 1), (10.1, 2)):
        clock.now = 1000 + moment
        assert await remembered.get("key", oracle) == value
        assert oracle.asked == asked


async def test_an_answer_without_time_is_not_remembered(remembered: Remembered[str, str | None]) -> None:
    oracle = Oracle(seconds=0)
    assert [await remembered.get("key", oracle) for _ in range(3)] == ["yes"] * 3
    assert oracle.asked == 3
    assert remembered.known("key") is None


async def test_one_question_serves_all_who_wait(remembered: Remembered[str, str | None]) -> None:
    oracle = Oracle()
    oracle.may_answer.clear()
    waiting = [asyncio.create_task(remembered.get("key", oracle)) for _ in range(50)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # whoever asked first goes away
    await asyncio.sleep(0)
    oracle.may_answer.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == ["yes"] * 49
    assert oracle.asked == 1


async def test_a_failed_question_fails_for_all_who_wait_and_is_asked_again(
    remembered: Remembered[str, str | None],
) -> None:
    oracle = Oracle()
    oracle.error = ConnectionError()
    failed = await asyncio.gather(*(remembered.get("key", oracle) for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in failed] == [ConnectionError] * 5
    assert oracle.asked == 1
    oracle.error = None
    assert await remembered.get("key", oracle) == "yes"


async def test_a_flood_of_bad_answers_pushes_no_good_one_out(remembered: Remembered[str, str | None]) -> None:
    oracle = Oracle()
    await remembered.get("good", oracle)
    for number in range(1000):
        await remembered.get(f"bad{number}", Oracle(None))
    assert await remembered.get("good", oracle) == "yes"
    assert oracle.asked == 1
    assert sum(remembered.known(f"bad{number}") is not None for number in range(1000)) <= 10


async def test_closing_ends_what_is_being_asked(remembered: Remembered[str, str | None]) -> None:
    oracle = Oracle()
    oracle.may_answer.clear()
    waiting = asyncio.create_task(remembered.get("key", oracle))
    await asyncio.sleep(0)
    await remembered.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
