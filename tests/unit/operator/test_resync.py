"""What differs between the database and the API server."""

from ordinaut.store.declared import Incarnation, Key
from ordinaut_operator.sync.resync import compare


def object_(name: str, uid: str = "1", *, generation: int = 1) -> Incarnation:
    return Incarnation(Key("Task", "default", name), uid, generation)


def live(*objects: Incarnation) -> dict[Key, Incarnation]:
    return {one.key: one for one in objects}


def test_nothing_differs() -> None:
    difference = compare([object_("a"), object_("b")], live(object_("a"), object_("b")))
    assert (difference.gone, difference.missed) == ([], [])


def test_a_stored_object_that_does_not_exist_is_gone() -> None:
    assert compare([object_("a"), object_("b")], live(object_("a"))).gone == [object_("b")]


def test_a_name_that_is_used_again_is_another_object() -> None:
    difference = compare([object_("a", "old")], live(object_("a", "new")))
    assert difference.gone == [object_("a", "old")]
    assert difference.missed == [object_("a", "new")]


def test_a_seen_object_that_does_not_exist_is_gone_even_if_it_is_not_stored() -> None:
    assert compare([], live(), seen=[object_("a")]).gone == [object_("a")]


def test_an_object_that_is_stored_and_seen_ends_once() -> None:
    assert compare([object_("a", generation=1)], live(), seen=[object_("a", generation=2)]).gone == [
        object_("a", generation=1)
    ]


def test_an_object_that_is_not_stored_was_missed() -> None:
    assert compare([], live(object_("a"))).missed == [object_("a")]


def test_a_newer_generation_was_missed_and_an_older_one_was_not() -> None:
    stored = [object_("a", generation=2)]
    assert compare(stored, live(object_("a", generation=3))).missed == [object_("a", generation=3)]
    assert compare(stored, live(object_("a", generation=1))).missed == []
