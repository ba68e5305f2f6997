"""What is said of a ledger of events, given what the triggers match and what the ledger says of it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from ordinaut.declaration.event_law import EventJudgement, judged
from ordinaut.store.event_fires import Line, Listener
from ordinaut.triggers import Match, compile_triggers

SINCE = datetime(2026, 11, 23, 9, tzinfo=UTC)
MAIL = {"topic": "mail.received", "since": SINCE.isoformat()}
(TRIGGER,) = compile_triggers([MAIL])


def match(key: int, *, task: int = 1, after: float = 1, mistake: str | None = None) -> Match:
    event = {"id": f"m-{key}", "type": "mail.received", "source": "/mail"}
    return Match(task, TRIGGER, event, UUID(int=key), key, 0, SINCE + timedelta(seconds=after), mistake)


def judge(*matches: Match, lines: tuple[Line, ...] = ()) -> EventJudgement:
    known = {(one.task_id, one.key): one for one in lines}
    return judged([Listener(1, [MAIL], SINCE)], matches, known)[1]


def line(key: int, outcome: str, *, lacks_run: bool = False, is_lost: bool = False) -> Line:
    return Line(1, UUID(int=key), outcome, lacks_run, is_lost)


def test_each_event_that_matches_is_counted_by_what_became_of_it() -> None:
    found = judge(
        *(match(key) for key in (1, 2, 3, 4)),
        lines=(line(1, "Fired"), line(2, "Fired"), line(3, "Skipped"), line(4, "Gathered")),
    )
    assert found == EventJudgement(matched=4, fired=2, skipped=1, gathered=1)


def test_an_event_that_was_published_twice_is_one() -> None:
    assert judge(match(1), match(1, after=5), lines=(line(1, "Fired"),)) == EventJudgement(matched=1, fired=1)


def test_what_breaks_the_law_is_named() -> None:
    found = judge(
        match(1),
        match(2),
        match(3),
        lines=(line(2, "Fired", lacks_run=True), line(3, "Gathered", is_lost=True)),
    )
    assert [(one.invariant, one.text) for one in found.breaches] == [
        ("unaccounted_event", "event m-1 (mail.received) matches a trigger, and the ledger has no line for it"),
        ("event_without_run", "event m-2 (mail.received) has fired, and its run does not exist"),
        ("lost_event", "event m-3 (mail.received) is gathered, and no trigger gathers it"),
    ]


def test_what_came_before_the_last_edit_and_what_others_match_does_not_count() -> None:
    assert judge(match(1, after=-1), match(2, task=7)) == EventJudgement()


def test_a_condition_that_fails_here_only_proves_nothing() -> None:
    assert judge(match(1, mistake="too much work")) == EventJudgement()
    told = judge(match(1, mistake="too much work"), lines=(line(1, "Skipped"),))
    assert told == EventJudgement(matched=1, skipped=1)
