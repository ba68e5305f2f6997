"""Where a run is, and why it waits or ended as it did: each cause from its facts."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ordinaut.causes import Cause, Level
from ordinaut.shapes import Because, QueuePosition
from ordinaut.states import RunPhase
from ordinaut.store.keys import COUNTED, Blocking
from ordinaut.store.position import LEVEL, MOST, Queued
from ordinaut.store.why import HeldKey, LiveWorker, RunFacts, Waits
from ordinaut.why import of_run, queueing
from ordinaut_worker import backlog
from tests.unit.why.facts import NOW, OTHER, RUN, WORKER, ago, lines, over, queued, run, step, unfinished

LATER = NOW + timedelta(minutes=5)
RETRIED = {"limit": 4, "backoff": {"duration": "1s"}}


def first(facts: RunFacts) -> Because:
    return of_run(facts).because[0]


def waiting(what: Any, *, reason: str, due: Any = LATER, before: int = 0, **more: Any) -> RunFacts:
    return replace(run("Waiting", reason=reason), waits=Waits(what, due, before), **more)


# -- in its queue ------------------------------------------------------------------------------------------------------


def test_a_run_that_has_just_come_is_taken_any_moment() -> None:
    facts = replace(run(), queued=queued(age=3), workers=[WORKER])
    (line,) = lines(of_run(facts))
    assert line == (
        "Good Queued: it is in queue default since 2026-11-23T08:59:57Z, and no other starts before it:"
        " a worker takes it any moment"
    )


def test_a_run_without_workers_names_the_queue() -> None:
    found = of_run(replace(run(), queued=queued(queue="gpu")))
    assert [(one.reason, one.level, one.queue) for one in found.because] == [
        (Cause.NO_WORKER, Level.BLOCKING, "gpu"),
        (Cause.QUEUED, Level.NOTE, "gpu"),
    ]
    assert found.summary == f"Run {RUN} of task default/briefing is Pending: no live worker takes runs of queue gpu"


def test_a_run_behind_busy_workers_says_so() -> None:
    busy = [LiveWorker("w-0", 4, 4), LiveWorker("w-1", 2, 3)]
    found = of_run(replace(run(), queued=queued(12), workers=busy))
    assert [one.reason for one in found.because] == [Cause.WORKERS_BUSY, Cause.QUEUED]
    assert found.because[0].message == "all 6 slots of queue default, of 2 workers, are taken"
    assert found.because[0].position == QueuePosition(before=12)


def test_a_single_slot_is_called_so() -> None:
    facts = replace(run(), queued=queued(), workers=[LiveWorker("w-0", 1, 1)])
    assert first(facts).message == "the only slot of queue default, of worker w-0, is taken"


def test_one_free_slot_is_enough() -> None:
    some = [LiveWorker("w-0", 4, 4), LiveWorker("w-1", 2, 1)]
    assert first(replace(run(), queued=queued(), workers=some)).reason is Cause.QUEUED


def test_a_run_whose_workers_were_lost_is_kept_apart() -> None:
    found = of_run(replace(run(), queued=queued(is_ward=True, delivery=5), workers=[WORKER]))
    assert found.because[0].message.endswith("a worker takes only one such run at a time")
    assert found.because[1].reason is Cause.REDELIVERED
    assert found.because[1].message == "the 4 workers that had it before were lost"


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (queued(0), (0, False)),
        (queued(3, sooner=4), (7, False)),
        (queued(3, sooner=3, seldom=1), (7, False)),
        (queued(3, sooner=3, seldom=500), (9, False)),
        (queued(0, seldom=500), (1, False)),
        (queued(MOST + 1), (MOST, True)),
        (queued(MOST, sooner=1), (MOST, True)),
        (queued(5, more=True), (5, True)),
    ],
)
def test_the_position_is_a_bound(place: Queued, expected: tuple[int, bool]) -> None:
    found = queueing.position(place)
    assert (found.before, found.more) == expected


def test_positions_count_as_workers_do() -> None:
    assert (LEVEL.total_seconds(), queueing.EVERYBODY) == (backlog.AGEING, backlog.EVERYBODY)


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (0, "no other starts before it"),
        (1, "at most one other starts before it"),
        (1234, "at most 1,234 others start before it"),
        (MOST + 1, "more than 10,000 others may start before it"),
    ],
)
def test_the_position_in_words(before: int, words: str) -> None:
    assert words in first(replace(run(), queued=queued(before), workers=[WORKER])).message


def test_a_run_that_is_nowhere_is_a_defect() -> None:
    cause = first(run())
    assert (cause.reason, cause.level) == (Cause.NOWHERE, Level.BLOCKING)
    assert cause.action is not None
    assert cause.action.command == f"cancel {RUN} -n default"


# -- waiting -----------------------------------------------------------------------------------------------------------


def test_a_run_that_waits_for_its_turn_names_the_one_before_it_and_what_that_waits_for() -> None:
    before = unfinished("Waiting", reason="ConcurrencyKey")
    cause = first(waiting("Turn", reason="Turn", before=2, holders=[before]))
    assert cause.message == (
        f"it waits for its turn: run {OTHER} is Waiting (ConcurrencyKey) since 2026-11-23T08:58:00Z,"
        " and 2 others wait before it"
    )
    assert cause.holders is not None
    assert (cause.holders[0].run, cause.holders[0].reason) == (str(OTHER), "ConcurrencyKey")
    assert cause.action is not None
    assert cause.action.path == f"/v1/namespaces/default/runs/{OTHER}/why"


@pytest.mark.parametrize(("operated", "words"), [(True, "gives it in a moment"), (False, "no operator is connected")])
def test_a_turn_that_nobody_has_is_the_operators_business(operated: bool, words: str) -> None:
    assert words in first(waiting("Turn", reason="Turn", operated=operated)).message


def test_a_run_that_starts_later_by_jitter_says_when() -> None:
    cause = first(waiting("Time", reason="Jitter"))
    assert (cause.reason, cause.level, cause.until) == (Cause.JITTER, Level.GOOD, LATER)
    assert "2026-11-23T09:05:00Z" in cause.message


def test_a_run_of_an_event_that_waits_for_the_end_of_a_snooze_says_when_that_is() -> None:
    cause = first(waiting("Time", reason="Snooze"))
    assert (cause.reason, cause.level, cause.until) == (Cause.SNOOZED, Level.BLOCKING, LATER)
    assert cause.action is not None
    assert cause.action.command == "resume briefing -n default"


def test_a_run_that_is_tried_again_says_when_and_which_try() -> None:
    failed = step("call", "Waiting", attempt=2, error="timed\nout", retry=RETRIED)
    cause = first(waiting("Time", reason="Retry", steps=[step("a", "Succeeded"), failed]))
    assert (cause.reason, cause.until) == (Cause.RETRY, LATER)
    assert cause.message == "step call failed 2 of 5 times and is tried again at 2026-11-23T09:05:00Z: timed out"


@pytest.mark.parametrize(("operated", "words"), [(True, "does not get to it"), (False, "no operator is connected")])
def test_a_wait_that_is_over_and_nobody_ends_says_who_should(operated: bool, words: str) -> None:
    cause = first(waiting("Time", reason="Retry", due=ago(minutes=1), operated=operated))
    assert (cause.reason, cause.since) == (Cause.NOT_MOVED, ago(minutes=1))
    assert words in cause.message


def keyed(*found: Blocking, **more: Any) -> RunFacts:
    """Return a run that waits for keys, each held by a run that is under way."""
    holder = unfinished(worker="w-1")
    held = [HeldKey(one, [holder] if one.held else []) for one in found]
    return waiting("Keys", reason="ConcurrencyKey", keys=held, **more)


@pytest.mark.parametrize(
    ("limit", "held", "slots"), [(1, 1, "its only slot is taken"), (3, 5, "5 runs hold it and 3 may")]
)
def test_a_concurrency_key_names_who_holds_it(limit: int, held: int, slots: str) -> None:
    free = Blocking(RUN, "region/eu", 9, 1, (), 0)
    found = of_run(keyed(free, Blocking(RUN, "account/7", limit, held, (), 4)))
    (cause,) = found.because
    assert (cause.reason, cause.key, cause.limit) == (Cause.CONCURRENCY_KEY, "account/7", limit)
    assert (cause.position, cause.since) == (QueuePosition(before=4), ago(minutes=2))
    assert cause.message == (
        f"it waits for concurrency key account/7, {slots}: run {OTHER} is Running on worker w-1 since"
        " 2026-11-23T08:58:00Z, and 4 others wait before it"
    )
    assert cause.action is not None
    assert cause.action.command == f"why run {OTHER} -n default"


@pytest.mark.parametrize(("operated", "words"), [(True, "let go on in a moment"), (False, "no operator lets it go on")])
def test_room_in_all_keys_is_admissions_business(operated: bool, words: str) -> None:
    cause = first(keyed(Blocking(RUN, "account/7", 2, 1, (), COUNTED), operated=operated))
    assert words in cause.message
    assert cause.message.endswith("and 1,000 or more others wait before it")
    assert cause.position == QueuePosition(before=COUNTED, more=True)


def test_a_step_to_come_without_its_tool_is_told_before_it_fails() -> None:
    later = step("mail", uses="mail")
    found = of_run(replace(run(), queued=queued(age=1), workers=[WORKER], steps=[step(), later]))
    assert lines(found)[1] == (
        "Note ToolMissing: step mail will fail: Tool default/mail is not there → apply -f TOOL.yaml -n default"
    )


# -- under a lease, or over --------------------------------------------------------------------------------------------


def held(**more: Any) -> RunFacts:
    given = {"worker": "w-1", "delivery": 1, "leased_at": ago(seconds=30), "leased_until": LATER}
    return run("Running", **{**given, **more})


def test_a_run_at_work_says_where_it_is() -> None:
    facts = replace(held(delivery=2), steps=[step("a", "Succeeded"), step("b", "Waiting", retry=RETRIED), step("c")])
    assert lines(of_run(facts)) == [
        f"Good Running: it runs on worker w-1, at step b, try 2, since 2026-11-23T08:59:30Z → logs -f {RUN} -n default",
        "Note Redelivered: the worker that had it before was lost → status",
    ]


@pytest.mark.parametrize(("operated", "words"), [(True, "an operator takes"), (False, "no operator takes")])
def test_a_run_of_a_worker_without_a_sign_of_life_says_so(operated: bool, words: str) -> None:
    cause = first(replace(held(leased_until=ago(seconds=4)), operated=operated))
    assert (cause.reason, cause.since) == (Cause.WORKER_LOST, ago(seconds=4))
    assert words in cause.message
    assert (cause.action is None) == operated


FAILED = step("fetch", "Failed", error="status 500")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (
            replace(over("Failed", "StepFailed", "step fetch failed"), steps=[FAILED]),
            f"Blocking Failed: it failed at 2026-11-23T08:59:50Z: StepFailed: step fetch: status 500"
            f" → retry {RUN} -n default",
        ),
        (
            over("Failed", "OutputFailed", "no such field"),
            f"Blocking Failed: it failed at 2026-11-23T08:59:50Z: OutputFailed: no such field → retry {RUN} -n default",
        ),
        (
            over("TimedOut", "DeadlineExceeded", "took longer than its timeout of 5 s"),
            "Blocking TimedOut: its time was over at 2026-11-23T08:59:50Z: DeadlineExceeded: took longer than its"
            f" timeout of 5 s → retry {RUN} -n default",
        ),
        (
            replace(over("Cancelled", "Requested", "ada asked for it"), steps=[FAILED]),
            "Note Cancelled: it was cancelled at 2026-11-23T08:59:50Z: Requested: ada asked for it"
            " → run briefing -n default",
        ),
        (
            over("Parked", "MaxDeliveriesExceeded", "its workers were lost in each of 3 deliveries"),
            "Blocking Parked: it is parked since 2026-11-23T08:59:50Z: MaxDeliveriesExceeded: its workers were lost in"
            f" each of 3 deliveries → unpark {RUN} -n default",
        ),
        (
            over("Succeeded"),
            f"Good Succeeded: it succeeded at 2026-11-23T08:59:50Z → logs {RUN} -n default",
        ),
        (
            over("Failed", "StepFailed", "x", task_deleted=True),
            "Blocking Failed: it failed at 2026-11-23T08:59:50Z: StepFailed: x",
        ),
        (
            over("Failed", "StepFailed", "x", task_ready=False),
            "Blocking Failed: it failed at 2026-11-23T08:59:50Z: StepFailed: x → why briefing -n default",
        ),
    ],
)
def test_a_run_that_is_over_says_how_and_what_to_do(facts: RunFacts, expected: str) -> None:
    assert lines(of_run(facts)) == [expected]


@pytest.mark.parametrize(
    ("error", "by"), [("ada asked for it", "ada"), ("somebody asked for it", None), ("run 8 took its place", None)]
)
def test_who_cancelled_a_run_is_named(error: str, by: str | None) -> None:
    assert first(over("Cancelled", "Requested", error)).by == by


@pytest.mark.parametrize(
    ("tool", "state"),
    [({}, "not there"), ({"tool_is_there": True, "tool_invalid": "http.url: wrong"}, "not valid")],
)
def test_a_run_that_failed_for_its_tool_says_that_first(tool: dict[str, Any], state: str) -> None:
    failed = step("mail", "Failed", uses="mail", error="there is no Tool", **tool)
    found = of_run(replace(over("Failed", "StepFailed"), steps=[failed]))
    assert [one.reason for one in found.because] == [Cause.TOOL_MISSING, Cause.FAILED]
    assert found.because[0].message == f"step mail needs Tool default/mail, which is {state}"


@pytest.mark.parametrize("phase", list(RunPhase))
def test_every_phase_of_a_run_says_something(phase: RunPhase) -> None:
    facts = run(phase) if phase in {RunPhase.PENDING, RunPhase.WAITING} else over(phase)
    found = of_run(held() if phase is RunPhase.RUNNING else facts)
    assert found.phase == phase
    assert found.summary.startswith(f"Run {RUN} of task default/briefing is {phase}: ")
