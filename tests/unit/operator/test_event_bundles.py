"""Which events of a trigger make a run together, and how long they wait; how many runs stand one behind the other."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordinaut.states import EventSkipReason
from ordinaut.store.reactions import GatheredEvent, Gathering
from ordinaut.triggers import Batch, Match, Trigger
from ordinaut_operator.events import bundles
from ordinaut_operator.events.bundles import Arranged, Intake, Item, arrange, at_once, counted, kept_item, to_keep
from ordinaut_operator.events.hops import cause_of, hops_after

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RUN = UUID("019ab0d2-7c1e-7cc3-98c4-dc0c0c07398f")


def trigger(batch: int | None = None, debounce: timedelta | None = None) -> Trigger:
    gathers = Batch(batch, MINUTE) if batch else None
    return Trigger(number=2, topic="mail.>", since=NOW, condition=None, params=None, debounce=debounce, batch=gathers)


def item(number: int, of: Trigger, *, size: int = 10, kept: bool = False, **more: Any) -> Item:
    match = Match(7, of, {"id": str(number)}, UUID(int=number), number, 0, NOW, **more)
    row = GatheredEvent(7, 2, number, 0, UUID(int=number), NOW, 1, size, match.event) if kept else None
    return Item(match, 1, b"x" * size, row)


def shape(arranged: Arranged) -> tuple[list[list[int]], list[int]]:
    """Return the positions of what makes runs, and of what waits."""
    made = [[one.match.position for one in bundle.items] for bundle in arranged.bundles if bundle.reason is None]
    return made, [one.match.position for one in arranged.waiting]


def gathering(events: int, *, opened: datetime = NOW, due: datetime = NOW + MINUTE) -> Gathering:
    return Gathering(7, 2, opened, due, events, 10 * events)


# -- arranging -------------------------------------------------------------------------------------------------------


def test_each_event_of_a_plain_trigger_makes_a_run() -> None:
    plain = trigger()

    assert shape(arrange(plain, [item(1, plain), item(2, plain)], due_at=None)) == ([[1], [2]], [])


@given(sizes=st.lists(st.integers(1, bundles.MAX_BYTES), max_size=40), most=st.integers(1, 9), due=st.booleans())
def test_batches_hold_every_event_once_in_its_order_and_are_never_too_large(
    sizes: list[int], most: int, due: bool
) -> None:
    gatherer = trigger(batch=most)
    items = [Item(item(n, gatherer).match, 1, _Sized(size)) for n, size in enumerate(sizes)]

    made, waiting = shape(arrange(gatherer, items, due_at=NOW if due else None))

    assert [n for batch in made for n in batch] + waiting == list(range(len(sizes)))
    assert all(len(batch) <= most for batch in made)
    assert all(sum(sizes[n] for n in batch[:-1]) < bundles.MAX_BYTES for batch in made)
    assert not (due and waiting)
    assert len(waiting) < most


class _Sized(bytes):
    """Text of some length that takes no memory."""

    def __new__(cls, size: int) -> "_Sized":
        made = super().__new__(cls)
        made.size = size
        return made

    size: int

    def __len__(self) -> int:
        return self.size


def test_a_batch_whose_time_is_over_waits_for_those_of_it_that_are_not_read_yet() -> None:
    gatherer = trigger(batch=3)
    items = [item(n, gatherer) for n in range(4)]

    assert shape(arrange(gatherer, items, due_at=NOW, more=True)) == ([[0, 1, 2]], [3])
    assert shape(arrange(gatherer, items, due_at=NOW)) == ([[0, 1, 2], [3]], [])


def test_of_debounced_events_the_last_one_counts() -> None:
    quiet = trigger(debounce=MINUTE)

    arranged = arrange(quiet, [item(n, quiet) for n in range(3)], due_at=NOW)

    assert shape(arranged) == ([[2]], [])
    assert [(bundle.reason, len(bundle.items)) for bundle in arranged.bundles] == [
        (EventSkipReason.DEBOUNCED, 2),
        (None, 1),
    ]


@pytest.mark.parametrize(
    ("hops", "mistake", "reason"),
    [(8, None, None), (9, None, "HopLimit"), (1, "no", "InvalidFilter"), (9, "no", "HopLimit")],
)
def test_what_waits_for_nobody(hops: int, mistake: str | None, reason: str | None) -> None:
    one = item(1, trigger(batch=3), mistake=mistake)._replace(hops=hops)

    found = at_once(one, max_hops=8)

    assert (found and found.reason) == reason


# -- taking in -------------------------------------------------------------------------------------------------------


def test_what_is_gathered_comes_back_as_it_was() -> None:
    gatherer = trigger(batch=3)
    new = item(4, gatherer)
    row = to_keep(new._replace(text=b'{"id":"4"}'))

    again = kept_item(row._replace(event={"id": "4"}), gatherer)

    assert (again.match, again.hops, again.text) == (new.match, new.hops, b'{"id":"4"}')
    assert row.bytes == 10
    assert (again.pair, again.line) == (new.pair, new.line) == ((7, UUID(int=4)), (7, 2))


def test_a_batch_begins_with_its_first_event() -> None:
    gatherer = trigger(batch=3)
    arranged, state = Intake(gatherer, [item(1, gatherer)], None, hold=False).take([], now=NOW)
    assert shape(arranged) == ([], [1])
    assert state == Gathering(7, 2, NOW, NOW + MINUTE, 1, 10)

    later = NOW + timedelta(seconds=30)
    intake = Intake(gatherer, [item(2, gatherer)], state, hold=False)
    assert not intake.needs_kept
    assert intake.take([], now=later)[1] == Gathering(7, 2, NOW, NOW + MINUTE, 2, 20)


def test_what_a_full_batch_leaves_over_begins_a_new_one() -> None:
    gatherer = trigger(batch=3)
    old = [to_keep(item(n, gatherer))._replace(event={"id": str(n)}) for n in (1, 2)]
    later = NOW + timedelta(seconds=30)
    intake = Intake(gatherer, [item(n, gatherer) for n in (3, 4)], gathering(2), hold=False)
    assert intake.needs_kept

    arranged, state = intake.take(old, now=later)

    assert shape(arranged) == ([[1, 2, 3]], [4])
    assert state == Gathering(7, 2, later, later + MINUTE, 1, 10)


def test_held_events_wait_and_are_due_at_once() -> None:
    plain, gatherer = trigger(), trigger(batch=2)
    assert Intake(plain, [item(1, plain)], None, hold=True).take([], now=NOW)[1] == Gathering(7, 2, NOW, NOW, 1, 10)

    arranged, state = Intake(gatherer, [item(1, gatherer), item(2, gatherer)], None, hold=True).take([], now=NOW)

    assert shape(arranged) == ([], [1, 2])
    assert state == Gathering(7, 2, NOW, NOW, 2, 20)


def test_an_event_does_not_overtake_those_that_were_held() -> None:
    plain = trigger()

    arranged, state = Intake(plain, [item(2, plain)], gathering(1, due=NOW), hold=False).take([], now=NOW + MINUTE)

    assert shape(arranged) == ([], [2])
    assert state == Gathering(7, 2, NOW, NOW, 2, 20)


@pytest.mark.parametrize(("after", "due"), [(5 * MINUTE, 6 * MINUTE), (9.5 * MINUTE, 10 * MINUTE)])
def test_a_debounce_lasts_ten_times_as_long_at_the_most(after: timedelta, due: timedelta) -> None:
    quiet = trigger(debounce=MINUTE)
    old = to_keep(item(1, quiet))._replace(event={"id": "1"})

    arranged, state = Intake(quiet, [item(2, quiet)], gathering(1), hold=False).take([old], now=NOW + after)

    assert shape(arranged) == ([], [2])
    assert state is not None
    assert (state.opened_at, state.due_at, state.events) == (NOW, NOW + due, 1)


def test_what_is_not_read_yet_comes_first() -> None:
    quiet = trigger(debounce=MINUTE)

    arranged, state = Intake(quiet, [item(9, quiet)], gathering(2), hold=False).take([], now=NOW)

    assert shape(arranged) == ([], [9])
    assert state is not None
    assert state.events == 3


def test_a_gathering_counts_what_comes_and_goes() -> None:
    gatherer = trigger(batch=2)
    items = [item(1, gatherer, kept=True), item(2, gatherer, kept=True), item(3, gatherer)]

    assert counted(gathering(5), arrange(gatherer, items, due_at=None))[-2:] == (4, 40)


# -- hops ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "cause"),
    [
        ({"type": "io.ordinaut.run.failed", "data": {"run": str(RUN)}}, RUN),
        ({"type": "io.ordinaut.task.applied", "data": {"task": "t"}}, None),
        ({"type": "mail.received", "data": {"run": str(RUN)}}, None),
        ({"type": "mail.received", "ordinautrun": str(RUN)}, RUN),
        ({"type": "mail.received", "ordinautrun": "nonsense"}, None),
        ({"type": "mail.received", "ordinautrun": 5}, None),
        ({"type": "io.ordinaut.run.failed", "data": [1]}, None),
        ({"type": "mail.received"}, None),
    ],
)
def test_the_run_that_has_caused_an_event(event: dict[str, Any], cause: UUID | None) -> None:
    assert cause_of(event) == cause
    assert hops_after(event, {RUN: 4}) == (5 if cause else 1)
    assert hops_after(event, {}) == 1


def test_what_tells_of_skipped_events_says_how_far_it_has_come() -> None:
    assert hops_after({"type": "io.ordinaut.task.skipped", "data": {"hops": 3}}, {}) == 4
    assert hops_after({"type": "io.ordinaut.task.skipped", "data": {"reason": "Coalesced"}}, {}) == 1
