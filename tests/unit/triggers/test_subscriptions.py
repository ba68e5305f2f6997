"""The index of subscriptions finds what asking each trigger of each task finds."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordinaut.engine.evaluation import Meter
from ordinaut.errors import Permanent
from ordinaut.events.envelope import key_of
from ordinaut.triggers import Match, Subscriptions, compile_triggers, subscriptions
from ordinaut.triggers.topics import Topics

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
SINCE = (NOW - timedelta(hours=1)).isoformat()


def event(type_: str = "mail.received", **data: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "7-0", "source": "/here", "type": type_, "data": data}


def trigger(topic: str = "mail.received", if_: str | None = None, since: str = SINCE) -> dict[str, Any]:
    return {"topic": topic, "since": since, **({} if if_ is None else {"if": if_})}


def subscribed(tasks: Mapping[int, Sequence[dict[str, Any]]]) -> Subscriptions:
    found = Subscriptions()
    for task_id, triggers in tasks.items():
        found.put(task_id, triggers)
    return found


def matches(found: Subscriptions, what: dict[str, Any], *, at: datetime = NOW) -> list[Match]:
    return found.match(what, position=3, place=1, created_at=at)


def short(found: Subscriptions, what: dict[str, Any]) -> list[tuple[int, int, bool]]:
    return [(one.task_id, one.trigger.number, one.mistake is None) for one in matches(found, what)]


def test_a_match_says_all_about_the_event() -> None:
    mail = event(urgent=True)
    (match,) = matches(subscribed({5: [trigger(if_="data.urgent")]}), mail)
    assert (match.task_id, match.trigger.number, match.trigger.topic) == (5, 0, "mail.received")
    assert (match.event, match.key, match.position, match.place) == (mail, key_of(mail), 3, 1)
    assert (match.created_at, match.mistake) == (NOW, None)


def test_one_event_counts_once_for_a_task_by_its_first_trigger() -> None:
    triggers = [trigger(if_="data.size > `9`"), trigger("mail.>"), trigger("mail.*"), trigger()]
    found = subscribed({1: triggers, 2: triggers[2:]})
    assert short(found, event(size=1)) == [(1, 1, True), (2, 0, True)]
    assert short(found, event(size=10)) == [(1, 0, True), (2, 0, True)]


def test_own_types_are_named_without_their_prefix() -> None:
    found = subscribed({1: [trigger("run.failed")], 2: [trigger("run.>")], 3: [trigger(">")]})
    assert short(found, event("io.ordinaut.run.failed")) == [(1, 0, True), (2, 0, True)]
    assert found.wants("run.failed")
    assert not found.wants("task.applied")
    assert found.wants("mail.received")


def test_events_from_before_the_trigger_do_not_count() -> None:
    begins = NOW.isoformat()
    found = subscribed({1: [trigger("mail.*", since=begins), trigger(since=SINCE)], 2: [trigger(since=begins)]})
    before = matches(found, event(), at=NOW - timedelta(microseconds=1))
    assert [(one.task_id, one.trigger.number) for one in before] == [(1, 1)]
    assert [(one.task_id, one.trigger.number) for one in matches(found, event())] == [(1, 0), (2, 0)]


def test_a_condition_that_fails_is_told_unless_another_trigger_matches() -> None:
    failing = trigger(if_="starts_with(data.size, 'x')")
    found = subscribed({1: [failing], 2: [failing, trigger()], 3: [trigger(if_="data.size == 'x'")]})
    first, second = matches(found, event(size=1))
    assert (first.task_id, second.task_id, second.trigger.number, second.mistake) == (1, 2, 1, None)
    assert "starts_with(data.size, 'x')" in str(first.mistake)


def test_a_condition_of_another_release_fails_on_each_event() -> None:
    (match,) = matches(subscribed({1: [trigger(if_="newer(data.x)")]}), event())
    assert "can't be read" in str(match.mistake)


def test_what_is_put_again_takes_the_place_of_what_was_there() -> None:
    found = subscribed({1: [trigger(), trigger("disk.*")], 2: [trigger("mail.*", "data.to == 'ada'")]})
    assert (len(found), found.wants("disk.full")) == (3, True)
    found.put(1, [trigger("mail.*", "data.to == 'ada'")])
    assert (len(found), found.wants("disk.full")) == (2, False)
    assert short(found, event(to="ada")) == [(1, 0, True), (2, 0, True)]
    found.put(2, None)
    found.put(9, None)
    assert short(found, event(to="ada")) == [(1, 0, True)]
    found.put(1, None)
    assert (len(found), found.wants("mail.received"), short(found, event(to="ada"))) == (0, False, [])


def test_a_type_without_subscriptions_is_seen_when_one_comes() -> None:
    found = Subscriptions()
    assert not found.wants("mail.received")
    found.put(1, [trigger("mail.*")])
    assert found.wants("mail.received")


def test_types_that_publishers_invent_are_forgotten_again() -> None:
    found = subscribed({1: [trigger("mail.*")]})
    for number in range(10_000):
        assert found.wants(f"mail.n{number}")
    assert len(found._of_type) < 5_000


def test_costly_conditions_fail_beyond_their_share_and_cheap_ones_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "WORK_AT_ONCE", 50_000)
    monkeypatch.setattr(subscriptions, "WORK_PER_SECOND", 20_000)
    walk = trigger(if_="length(data.items[?contains(@, 'y')]) == `0`")
    found = subscribed({1: [walk], 2: [trigger(if_="data.to == 'ada'")], 3: [trigger()]})
    what = event(to="ada", items=["x"] * 300)

    def mistake(at: datetime) -> str | None:
        first, *rest = matches(found, what, at=at)
        assert [one.mistake for one in rest] == [None, None]
        return first.mistake

    at_once = next(number for number in range(100) if mistake(NOW))
    assert at_once > 20
    assert "others like it" in str(mistake(NOW))
    assert mistake(NOW + timedelta(seconds=1)) is None
    assert "others like it" in str([mistake(NOW + timedelta(seconds=1)) for _ in range(at_once)][-1])


TOPICS = st.sampled_from(["a.b", "a.*", "a.>", "*.b", ">", "c", "run.failed", "run.*"])
CONDITIONS = st.sampled_from(
    [
        None,
        "data.x == 'p'",
        "data.x == 'q'",
        "data.x == 'p' && data.y",
        "data.y && data.z == 'p'",
        "contains(data.x, 'p') && data.z == 'p'",
        "data.x == 'p' || data.z == 'p'",
        "length(data.y) > `1`",
        "data.y > `1`",
        "source == '/here' && data.x == 'p'",
    ]
)
MOMENTS = st.sampled_from([SINCE, NOW.isoformat(), (NOW + timedelta(seconds=1)).isoformat()])
TRIGGERS = st.lists(st.builds(trigger, TOPICS, CONDITIONS, MOMENTS), min_size=1, max_size=3)
EVENTS = st.builds(
    lambda type_, data: {**event(type_), "data": data},
    st.sampled_from(["a.b", "a.c", "a.b.c", "c", "io.ordinaut.run.failed"]),
    st.dictionaries(st.sampled_from("xyz"), st.sampled_from(["p", "q", "pq", 1, 2, None, []])),
)


@given(st.lists(st.tuples(st.integers(1, 4), TRIGGERS | st.none()), max_size=8), EVENTS)
def test_the_index_finds_what_asking_each_trigger_finds(
    puts: list[tuple[int, list[dict[str, Any]] | None]], what: dict[str, Any]
) -> None:
    found = Subscriptions()
    for task_id, triggers in puts:
        found.put(task_id, triggers)
        found.match(what, position=0, place=0, created_at=NOW)
    now_there = {task_id: triggers for task_id, triggers in dict(puts).items() if triggers}
    assert short(found, what) == [
        (task_id, *first) for task_id, triggers in sorted(now_there.items()) if (first := _first(triggers, what))
    ]


def _first(triggers: Sequence[Mapping[str, Any]], what: Mapping[str, Any]) -> tuple[int, bool] | None:
    """Ask one trigger after the other."""
    failed = None
    for one in compile_triggers(triggers):
        topics: Topics[bool] = Topics()
        topics.set(one.topic, True)
        if not topics.covering(what["type"].removeprefix("io.ordinaut.")) or one.since > NOW:
            continue
        try:
            if one.condition is None or one.condition.holds(what, meter=Meter(10_000)):
                return one.number, True
        except Permanent:
            failed = failed or (one.number, False)
    return failed
