"""What becomes of a task's due times: a pure decision over the claimed row."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from ordinaut.schedule import jitter
from ordinaut.states import FireOutcome, SkipReason, WaitReason
from ordinaut.store.clock import DueTask
from ordinaut.store.turns import MAX_WAITING, Standing
from ordinaut_operator.verdict import CHUNK, Verdict, decide

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
REVISION = b"\x01" * 32


def due(
    minutes: float = 1, *, busy: bool = False, waiting: int = 0, revision: bytes | None = REVISION, **spec: Any
) -> DueTask:
    """Return a minutely task that is looked at a second after noon, the first time for so many minutes."""
    now = NOON + timedelta(seconds=1)
    evaluated = NOON - minutes * MINUTE
    return DueTask(
        task_id=7,
        evaluated_at=evaluated,
        as_of=None,
        kept=0,
        next_fire_at=evaluated + MINUTE,
        namespace="default",
        name="t",
        spec=orjson.dumps({"schedules": [{"cron": "* * * * *"}], **spec}).decode(),
        params={"city": "Chisinau"},
        anchor=NOON - timedelta(days=9),
        revision=revision,
        exclusive=spec.get("concurrencyPolicy", "Allow") != "Allow",
        standing=Standing(busy, waiting),
        now=now,
    )


def story(verdict: Verdict) -> list[str]:
    """Return what became of each time, oldest first."""
    return [fire.reason.value if fire.reason else fire.outcome.value for fire in verdict.fires]


def test_a_time_that_has_come_gets_a_run_that_pins_what_the_task_has_now() -> None:
    verdict = decide(due(priority=9))

    (fire,) = verdict.fires
    (run,) = verdict.runs
    assert (fire.task_id, fire.scheduled_at, fire.outcome, fire.run_id) == (7, NOON, FireOutcome.FIRED, run.run_id)
    assert (run.task_id, run.namespace, run.scheduled_at) == (7, "default", NOON)
    assert (run.revision, run.params, run.priority, run.exclusive) == (REVISION, {"city": "Chisinau"}, 9, False)
    assert verdict.advance.next_fire_at == NOON + MINUTE
    assert verdict.advance.evaluated_at == NOON + timedelta(seconds=1)


ALL = {"policy": "All"}


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        # Catching up: by default the newest of what was missed.
        (due(4), ["Coalesced", "Coalesced", "Coalesced", "Fired"]),
        (due(4, catchUp={"policy": "Latest"}), ["Coalesced", "Coalesced", "Coalesced", "Fired"]),
        (due(4, catchUp=ALL), ["Fired"] * 4),
        (due(4, catchUp={"policy": "All", "max": 2}), ["Fired", "Fired", "CatchUpLimit", "CatchUpLimit"]),
        (due(4, catchUp={"policy": "None"}), ["NotCaughtUp", "NotCaughtUp", "NotCaughtUp", "Fired"]),
        # What is too old to start does not start, whatever the policy.
        (due(4, catchUp=ALL, startingDeadlineSeconds=90), ["DeadlineExceeded", "DeadlineExceeded", "Fired", "Fired"]),
        (due(1, startingDeadlineSeconds=0), ["DeadlineExceeded"]),
        # A task that can't run skips its times instead of keeping them for later.
        (due(3, revision=None), ["Coalesced", "Coalesced", "NotReady"]),
        (due(3, revision=None, catchUp=ALL), ["NotReady"] * 3),
        # One run at a time: with one under way nothing fires, else the first does.
        (due(3, busy=True, concurrencyPolicy="Forbid", catchUp=ALL), ["StillRunning"] * 3),
        (due(3, busy=False, concurrencyPolicy="Forbid", catchUp=ALL), ["Fired", "StillRunning", "StillRunning"]),
        (due(3, busy=True, concurrencyPolicy="Forbid"), ["Coalesced", "Coalesced", "StillRunning"]),
        (due(1, busy=True, concurrencyPolicy="Forbid", revision=None), ["NotReady"]),
        (due(1, waiting=1, concurrencyPolicy="Forbid"), ["StillRunning"]),
        # As many as may wait for their turn; the one that has it does not count.
        (due(3, busy=True, concurrencyPolicy="Queue", catchUp=ALL), ["Fired"] * 3),
        (
            due(3, busy=True, waiting=MAX_WAITING - 1, concurrencyPolicy="Queue", catchUp=ALL),
            ["Fired"] + ["QueueFull"] * 2,
        ),
        (due(1, waiting=MAX_WAITING, concurrencyPolicy="Queue"), ["QueueFull"]),
        # The others fire whether or not a run is under way.
        (due(2, busy=True, catchUp=ALL), ["Fired", "Fired"]),
        (due(2, busy=True, concurrencyPolicy="Allow", catchUp=ALL), ["Fired", "Fired"]),
        (due(2, busy=True, concurrencyPolicy="Replace", catchUp=ALL), ["Fired", "Fired"]),
    ],
)
def test_each_time_fires_or_is_skipped_with_its_reason(task: DueTask, expected: list[str]) -> None:
    verdict = decide(task)

    assert story(verdict) == expected
    assert [fire.scheduled_at for fire in verdict.fires] == [NOON - n * MINUTE for n in range(len(expected))][::-1]
    fired = [fire for fire in verdict.fires if fire.outcome is FireOutcome.FIRED]
    assert [(run.run_id, run.scheduled_at) for run in verdict.runs] == [(one.run_id, one.scheduled_at) for one in fired]


@pytest.mark.parametrize(("policy", "exclusive"), [("Allow", False), ("Forbid", True), ("Replace", True)])
def test_runs_of_tasks_that_allow_one_are_marked(policy: str, exclusive: bool) -> None:
    assert [run.exclusive for run in decide(due(concurrencyPolicy=policy)).runs] == [exclusive]


def test_runs_of_one_decision_are_listed_in_the_order_of_their_times() -> None:
    keys = [run.run_id for run in decide(due(50, catchUp=ALL)).runs]

    assert keys == sorted(keys)


def test_a_long_backlog_is_decided_in_parts_as_of_when_it_was_found() -> None:
    task = due(250, catchUp={"policy": "All", "max": 150})
    outcomes: list[str] = []
    parts = 0
    while True:
        verdict = decide(task)
        outcomes += story(verdict)
        parts += 1
        advance = verdict.advance
        if advance.as_of is None:
            break
        assert len(verdict.fires) == CHUNK
        assert advance.next_fire_at is not None
        # The next part is decided later, about the same backlog.
        task = task._replace(
            evaluated_at=advance.evaluated_at,
            as_of=advance.as_of,
            kept=advance.kept,
            next_fire_at=advance.next_fire_at,
            now=task.now + timedelta(seconds=5),
        )

    assert parts == 3
    assert outcomes == ["Fired"] * 150 + [SkipReason.CATCH_UP_LIMIT.value] * 100
    assert advance.next_fire_at == NOON + MINUTE


def test_a_task_whose_last_time_was_this_one_sleeps() -> None:
    once = due(schedules=[{"at": "2026-03-02T12:00:00"}])

    verdict = decide(once)

    assert story(verdict) == ["Fired"]
    assert verdict.advance.next_fire_at is None


def test_a_clock_that_was_set_back_fires_nothing_twice() -> None:
    task = due()
    again = task._replace(evaluated_at=task.now + MINUTE)

    verdict = decide(again)

    assert verdict.fires == []
    assert verdict.advance.evaluated_at >= again.evaluated_at


def test_what_a_snooze_held_back_is_decided_when_it_is_over() -> None:
    none = due(4, catchUp={"policy": "None"}, startingDeadlineSeconds=30)

    assert story(decide(none._replace(snoozed_until=NOON))) == ["Coalesced", "Coalesced", "Coalesced", "Fired"]


def test_a_task_whose_creator_may_not_run_it_skips_its_times_and_remembers_since_when() -> None:
    first = decide(due(3, catchUp=ALL), authorized=False)
    assert story(first) == ["Unauthorized"] * 3
    assert first.runs == []
    assert first.advance.unauthorized_at == first.task.now
    assert first.advance.next_fire_at == NOON + MINUTE

    later = first.task._replace(unauthorized_at=NOON - MINUTE)
    assert decide(later, authorized=False).advance.unauthorized_at == NOON - MINUTE
    assert decide(later, authorized=True).advance.unauthorized_at is None
    assert story(decide(later._replace(revision=None), authorized=False)) == ["Unauthorized"] * 3
    assert story(decide(due(2), authorized=False)) == ["Coalesced", "Unauthorized"]


def test_the_default_priority_is_in_the_middle() -> None:
    assert [run.priority for run in decide(due()).runs] == [5]


@pytest.mark.parametrize(
    ("task", "waits"),
    [
        (due(3, concurrencyPolicy="Queue", catchUp=ALL), [None, WaitReason.TURN, WaitReason.TURN]),
        (due(2, busy=True, concurrencyPolicy="Queue", catchUp=ALL), [WaitReason.TURN] * 2),
        # Nobody overtakes those that wait, even where nothing runs just now.
        (due(1, waiting=1, concurrencyPolicy="Queue"), [WaitReason.TURN]),
        (due(2, busy=True, catchUp=ALL), [None, None]),
    ],
)
def test_with_queue_each_run_waits_for_those_before_it(task: DueTask, waits: list[WaitReason | None]) -> None:
    assert [run.waits for run in decide(task).runs] == waits


def test_jitter_moves_the_start_and_never_the_identity() -> None:
    verdict = decide(due(3, jitter="1h", catchUp=ALL))

    assert [run.scheduled_at for run in verdict.runs] == [NOON - 2 * MINUTE, NOON - MINUTE, NOON]
    late = [
        jitter("default/t", run.scheduled_at, within=timedelta(hours=1)) for run in verdict.runs if run.scheduled_at
    ]
    assert len(set(late)) == 3
    assert [(run.waits, run.start_at) for run in verdict.runs] == [
        (WaitReason.JITTER, run.scheduled_at + delay) if run.scheduled_at else None
        for run, delay in zip(verdict.runs, late, strict=True)
    ]
    assert decide(due(3, jitter="1h", catchUp=ALL)).runs[-1].start_at == verdict.runs[-1].start_at


def test_a_start_that_is_past_is_now() -> None:
    task = due(9999, jitter="1s", catchUp=ALL)

    assert {(run.waits, run.start_at) for run in decide(task).runs[:-1]} == {(None, None)}


def test_jitter_counts_from_the_end_of_a_snooze() -> None:
    task = due(3, jitter="1h")._replace(snoozed_until=NOON)

    (run,) = decide(task).runs

    assert run.start_at == NOON + jitter("default/t", NOON, within=timedelta(hours=1))


def test_a_run_that_waits_for_its_turn_keeps_its_jitter() -> None:
    (run,) = decide(due(1, busy=True, concurrencyPolicy="Queue", jitter="1h")).runs

    assert run.waits is WaitReason.TURN
    assert run.start_at == NOON + jitter("default/t", NOON, within=timedelta(hours=1))
