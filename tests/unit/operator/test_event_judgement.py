"""What comes of events for a task: the reasons in their order, and what a run is made of."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from ordinaut.states import WaitReason
from ordinaut.store.reactions import EventTask
from ordinaut.store.turns import FREE, Standing
from ordinaut.triggers import Batch, Match, Trigger, compile_triggers
from ordinaut_operator.events.bundles import Bundle, Item
from ordinaut_operator.events.judgement import MAX_MESSAGE, Ruling, bounded, rule, weigh

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
BUSY = Standing(taken=True)


def trigger(**more: Any) -> Trigger:
    (made,) = compile_triggers([{"topic": "mail.received", "since": NOW.isoformat(), **more}])
    return made


PLAIN = trigger()


def bundle(*ids: int, of: Trigger = PLAIN, ago: timedelta = timedelta(), data: Any = None) -> Bundle:
    items = []
    for number in ids or (1,):
        event = {"id": str(number), "type": "mail.received", "data": data}
        match = Match(7, of, event, UUID(int=number), number, 0, NOW - ago)
        items.append(Item(match, number, orjson.dumps(event)))
    return Bundle(of, items, NOW - ago)


def task(spec: dict[str, Any] | None = None, **more: Any) -> EventTask:
    fields: dict[str, Any] = {"params": {"a": 1}, "revision": b"r", "exclusive": False, "now": NOW} | more
    return EventTask(7, "default", "t", orjson.dumps(spec or {}).decode(), **fields)


def judged(
    one: EventTask, *bundles: Bundle, authorized: bool = True, schema: Any = None, standing: Standing = FREE
) -> list[Ruling]:
    weighed = [weigh(found, one, authorized=authorized, schema=schema or {}) for found in bundles or [bundle()]]
    return rule(one, weighed, standing=standing)


@pytest.mark.parametrize(
    ("spec", "more", "reason"),
    [
        ({}, {"suspended": True, "paused": True, "revision": None}, "Suspended"),
        ({}, {"paused": True, "revision": None}, "Paused"),
        ({}, {"revision": None}, "NotReady"),
        ({"startingDeadlineSeconds": 60}, {}, "DeadlineExceeded"),
        ({"startingDeadlineSeconds": 7200}, {}, None),
    ],
)
def test_the_first_reason_that_holds_is_told(spec: dict[str, Any], more: dict[str, Any], reason: str | None) -> None:
    (ruling,) = judged(task(spec, **more), bundle(ago=HOUR))

    assert ruling.reason == reason
    assert (ruling.run is None) == (reason is not None)


def test_a_creator_without_the_right_gets_no_run() -> None:
    assert [one.reason for one in judged(task(), authorized=False)] == ["Unauthorized"]


def test_a_task_that_is_not_ready_says_why() -> None:
    (ruling,) = judged(task(revision=None, reason="ToolNotFound", message="there is no Tool x"))

    assert ruling.message == "ToolNotFound: there is no Tool x"


@pytest.mark.parametrize(
    ("policy", "standing", "fates"),
    [
        ("Allow", BUSY, [None, None]),
        ("Forbid", FREE, [None, "StillRunning"]),
        ("Forbid", BUSY, ["StillRunning", "StillRunning"]),
        ("Replace", BUSY, [None, None]),
        ("Queue", Standing(taken=True, waiting=999), [None, "QueueFull"]),
    ],
)
def test_policies_are_those_of_nominal_times(policy: str, standing: Standing, fates: list[str | None]) -> None:
    found = judged(task({"concurrencyPolicy": policy}, exclusive=True), bundle(1), bundle(2), standing=standing)

    assert [one.reason for one in found] == fates


def test_what_makes_no_run_does_not_keep_others_from_one() -> None:
    picky = trigger(params={"n": "${event.data.n}"})
    schema = {"properties": {"n": {"type": "integer"}}}
    wrong, right = bundle(1, of=picky, data={"n": "x"}), bundle(2, of=picky, data={"n": 5})

    found = judged(task({"concurrencyPolicy": "Forbid"}, exclusive=True), wrong, right, schema=schema)

    assert [one.reason for one in found] == ["InvalidParams", None]
    assert found[1].run is not None
    assert found[1].run.params == {"a": 1, "n": 5}


def test_params_that_nobody_can_store_are_refused() -> None:
    (ruling,) = judged(task(), bundle(of=trigger(params={"n": "${event.data}"}), data="a\0b"))

    assert ruling.reason == "InvalidParams"
    assert "NUL" in (ruling.message or "")


def test_a_run_has_what_it_needs() -> None:
    one = task({"priority": 8}, queue=3, keys=[{"source": "k", "limit": 1, "key": "k"}])

    (ruling,) = judged(one, bundle(4))

    run = ruling.run
    assert run is not None
    assert (run.task_id, run.revision, run.priority, run.params, run.queue) == (7, b"r", 8, {"a": 1}, 3)
    assert [key.key for key in run.keys] == ["k"]
    assert (run.waits, run.start_at, run.scheduled_at, run.hops) == (None, None, None, 4)
    assert orjson.loads(run.event or b"")["id"] == "4"


def test_the_run_of_a_batch_has_all_events_and_the_most_hops() -> None:
    gatherer = trigger(batch={"maxSize": 3, "timeout": "1m"}, params={"ids": "${events[*].id}", "last": "${event.id}"})
    assert gatherer.batch == Batch(3, timedelta(minutes=1))

    (ruling,) = judged(task(), bundle(5, 2, 3, of=gatherer))

    run = ruling.run
    assert run is not None
    assert (run.hops, run.params) == (5, {"a": 1, "ids": ["5", "2", "3"], "last": "3"})
    assert [event["id"] for event in orjson.loads(run.event or b"")] == ["5", "2", "3"]


def test_concurrency_keys_are_made_of_the_events_params() -> None:
    one = task(keys=[{"source": "${params.to}", "limit": 2, "key": None}])
    to = trigger(params={"to": "${event.data}"})

    right, wrong = judged(one, bundle(1, of=to, data="ann"), bundle(2, of=to, data=""))

    assert right.run is not None
    assert [(key.key, key.source) for key in right.run.keys] == [("ann", "${params.to}")]
    assert wrong.reason == "InvalidParams"
    assert (wrong.message or "").startswith("spec.concurrency[0].key")


@pytest.mark.parametrize(
    ("spec", "snoozed", "waits"),
    [
        ({}, None, None),
        ({}, NOW - HOUR, None),
        ({}, NOW + HOUR, WaitReason.SNOOZE),
        ({"jitter": "1h"}, None, WaitReason.JITTER),
        ({"jitter": "1h"}, NOW + HOUR, WaitReason.SNOOZE),
        ({"jitter": "1h", "concurrencyPolicy": "Queue"}, NOW + HOUR, WaitReason.TURN),
    ],
)
def test_when_a_run_may_start(spec: dict[str, Any], snoozed: datetime | None, waits: WaitReason | None) -> None:
    (ruling,) = judged(task(spec, snoozed_until=snoozed, exclusive=True), standing=BUSY)

    run = ruling.run
    assert run is not None
    assert run.waits is waits
    earliest = max(NOW, snoozed or NOW)
    if waits is None:
        assert run.start_at is None
    else:
        assert run.start_at is not None
        assert earliest <= run.start_at <= earliest + HOUR


def test_an_event_that_was_accepted_a_moment_later_starts_at_once() -> None:
    (ruling,) = judged(task(), bundle(ago=timedelta(seconds=-1)))

    assert ruling.run is not None
    assert ruling.run.waits is None


@pytest.mark.parametrize("text", ["", "short", "x" * MAX_MESSAGE, "x" * 5000, "ä" * 5000, "😀" * 5000])
def test_messages_fit_the_ledger(text: str) -> None:
    kept = bounded(text) or ""

    assert len(kept.encode()) <= MAX_MESSAGE
    assert kept == text or kept.endswith("…")
    assert text.startswith(kept.removesuffix("…"))


def test_nothing_is_nothing() -> None:
    assert bounded(None) is None
