"""The queue: only the newest state counts, nothing is forgotten, and nobody is in two hands."""

from typing import Any

from ordinaut.store.declared import Incarnation, Key
from ordinaut_operator.sync.queue import Change, Queue

KEY = Key("Task", "default", "briefing")


def document(uid: str = "one", *, generation: int = 1, version: int = 1, name: str = "briefing", **more: Any) -> Any:
    metadata = {
        "namespace": "default",
        "name": name,
        "uid": uid,
        "generation": generation,
        "resourceVersion": str(version),
    }
    return {"kind": "Task", "metadata": metadata | more.pop("metadata", {}), "spec": {"n": generation}} | more


def taken(queue: Queue, *, now: float = 0.0) -> Change:
    (change,) = queue.take(10, now=now)
    return change


def test_a_new_object_is_handed_out_once() -> None:
    queue = Queue()
    assert queue.see(document())
    change = taken(queue)
    assert (change.key, change.present, change.gone) == (KEY, document(), frozenset())
    assert queue.take(10, now=0.0) == []
    queue.done([change])
    assert len(queue) == 0


def test_a_change_of_status_is_no_news() -> None:
    queue = Queue()
    queue.see(document(version=1))
    queue.done(queue.take(10, now=0.0))
    assert not queue.see(document(version=2, status={"active": 1}))
    assert len(queue) == 0


def test_an_object_that_was_looked_up_is_written_again() -> None:
    queue = Queue()
    queue.see(document())
    queue.done(queue.take(10, now=0.0))
    assert queue.see(document(), again=True)
    assert KEY in queue


def test_of_many_edits_only_the_newest_is_handed_out() -> None:
    queue = Queue()
    for generation in range(1, 500):
        queue.see(document(generation=generation, version=generation))
    present = taken(queue).present
    assert present is not None
    assert present["spec"] == {"n": 499}


def test_what_is_seen_during_a_write_waits_for_its_end() -> None:
    queue = Queue()
    queue.see(document(generation=1))
    first = taken(queue)
    queue.see(document(generation=2, version=2))
    assert queue.take(10, now=0.0) == []
    assert queue.pause(now=0.0) is None
    queue.done([first])
    present = taken(queue).present
    assert present is not None
    assert present["metadata"]["generation"] == 2


def test_a_failed_write_gives_way_to_a_newer_state() -> None:
    queue = Queue()
    queue.see(document(generation=1))
    first = taken(queue)
    queue.see(document(generation=2, version=2))
    queue.put_back([first])
    present = taken(queue).present
    assert present is not None
    assert present["metadata"]["generation"] == 2


def test_what_is_put_back_is_taken_first_and_what_was_written_stays_out() -> None:
    queue = Queue()
    for name in ("a", "b", "c"):
        queue.see(document(name=name, uid=name))
    changes = queue.take(2, now=0.0)
    queue.done(changes[:1])
    queue.put_back(changes)
    assert [change.key.name for change in queue.take(10, now=0.0)] == ["b", "c"]


def test_a_deletion_ends_what_was_not_written_yet() -> None:
    queue = Queue()
    queue.see(document())
    queue.gone(KEY, "one")
    change = taken(queue)
    assert (change.present, change.gone) == (None, {"one"})


def test_a_deletion_during_a_failed_write_is_not_undone_by_putting_back() -> None:
    queue = Queue()
    queue.see(document())
    change = taken(queue)
    queue.gone(KEY, "one")
    queue.put_back([change])
    assert taken(queue) == Change(KEY, None, frozenset({"one"}))


def test_a_name_that_is_used_again_ends_the_old_object_and_keeps_the_new_one() -> None:
    queue = Queue()
    queue.see(document("one", version=1))
    queue.gone(KEY, "one")
    queue.see(document("two", version=3))
    change = taken(queue)
    assert change.gone == {"one"}
    assert change.present is not None
    assert change.present["metadata"]["uid"] == "two"


def test_a_missed_deletion_is_seen_from_the_new_uid() -> None:
    queue = Queue()
    queue.see(document("one", version=1))
    queue.done(queue.take(10, now=0.0))
    queue.see(document("two", version=3))
    assert taken(queue).gone == {"one"}


def test_late_events_of_an_old_object_do_not_displace_the_new_one() -> None:
    queue = Queue()
    queue.see(document("one", version=1))
    queue.see(document("two", version=5))
    assert not queue.see(document("one", generation=2, version=3))
    queue.gone(KEY, "one")
    change = taken(queue)
    assert change.present is not None
    assert change.present["metadata"]["uid"] == "two"


def test_an_ended_object_does_not_come_back_by_a_late_event() -> None:
    queue = Queue()
    queue.see(document("one", version=1))
    queue.gone(KEY, "one")
    assert not queue.see(document("one", generation=2, version=2))
    assert taken(queue).present is None


def test_an_object_that_is_being_deleted_counts_as_gone() -> None:
    queue = Queue()
    queue.see(document())
    queue.see(document(version=2, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["them/x"]}))
    assert taken(queue) == Change(KEY, None, frozenset({"one"}))
    assert queue.seen() == []


def test_what_is_set_aside_waits_for_its_time_and_holds_up_nobody() -> None:
    queue = Queue()
    queue.see(document(name="poison", uid="p"))
    poison = taken(queue)
    queue.set_aside(poison, until=30.0)
    queue.see(document(name="healthy", uid="h"))
    assert [change.key.name for change in queue.take(10, now=1.0)] == ["healthy"]
    assert queue.pause(now=1.0) == 29.0
    again = taken(queue, now=30.0)
    assert (again.key.name, again.failures) == ("poison", 1)


def test_a_new_state_of_what_is_set_aside_is_tried_at_once() -> None:
    queue = Queue()
    queue.see(document(generation=1))
    queue.set_aside(taken(queue), until=30.0)
    queue.see(document(generation=2, version=2))
    assert queue.pause(now=0.0) == 0.0
    assert taken(queue).failures == 0


def test_only_what_is_to_be_written_is_kept_of_an_object() -> None:
    queue = Queue()
    queue.see(document(status={"active": 1}, metadata={"managedFields": [{"manager": "kubectl"}]}))
    assert taken(queue).present == document()


def test_what_was_seen_is_known_until_it_is_gone() -> None:
    queue = Queue()
    queue.see(document("one", generation=4))
    queue.done(queue.take(10, now=0.0))
    assert queue.seen() == [Incarnation(KEY, "one", 4)]
    queue.gone(KEY, "one")
    assert queue.seen() == []


def test_the_length_counts_everything_that_is_not_written() -> None:
    queue = Queue()
    for name in ("busy", "aside", "ready"):
        queue.see(document(name=name, uid=name))
    _, aside = queue.take(2, now=0.0)
    queue.set_aside(aside, until=9.0)
    assert len(queue) == 3
    assert all(Key("Task", "default", name) in queue for name in ("busy", "aside", "ready"))
