"""What followers are told of a log, and from where on; the tailer and its followers without a database."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from ordinaut.store.following import Bounds
from ordinaut.store.log import LogPlace, LogRow
from ordinaut.store.runs import Run
from ordinaut_api.tailing import reader, telling
from ordinaut_api.tailing.reader import start, start_without_begin
from ordinaut_api.tailing.tailer import MAX_WAITING, Follower
from ordinaut_api.tailing.telling import WHOLE, Audience, Told, tell, tell_one
from ordinaut_api.tailing.wish import Wish

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def row(position: int, *events: dict[str, Any]) -> LogRow:
    about = sorted({f"{one['ns']}/{one['type']}" for one in events})
    return LogRow(position, 100 + position, NOW, about, orjson.dumps(events).decode())


def published(type_: str, data: Any = None, *, ns: str = "a", **more: Any) -> dict[str, Any]:
    return {"type": type_, "ns": ns, "by": "ann", "data": data, **more}


def test_each_event_is_written_once_and_told_to_those_who_want_it() -> None:
    audience = Audience(
        {
            "all": Wish("a"),
            "mail": Wish("a", topics=frozenset(["mail.*"])),
            "other": Wish("b"),
            "inbox": Wish("a", subject="inbox"),
        }
    )
    rows = [
        row(7, published("mail.received", 1, subject="inbox/7"), published("x", 2, ns="b"), published("x", 3, ns="c")),
        row(9, published("mail.read.twice", 4, subject="inboxes")),
    ]

    told = [(str(one.at), readers) for one, readers in tell(rows, audience)]

    assert told == [("7-0", ["all", "mail", "inbox"]), ("7-1", ["other"]), ("9-0", ["all"])]
    assert audience.about == {"a", "b"}


def test_a_type_is_asked_for_by_the_log_and_a_pattern_by_us() -> None:
    assert Wish("a", topics=frozenset(["x.y", "z"])).about == {"a/x.y", "a/z"}
    assert Wish("a", topics=frozenset(["x.y", "z.>"])).about == {"a"}


def test_a_message_holds_the_type_the_event_and_its_place() -> None:
    ((one, _),) = tell([row(7, published("mail.received", "línea"))], Audience({"me": Wish("a")}))
    lines = one.text.decode().split("\n")
    assert (lines[0], lines[2:]) == ("event: mail.received", ["id: 7-0", "", ""])
    assert orjson.loads(lines[1].removeprefix("data: "))["data"] == "línea"


def test_who_catches_up_gets_a_piece_at_a_time_and_at_least_one_event() -> None:
    rows = [row(1, *(published("a.b", "x" * 1000) for _ in range(5))), row(2, published("a.b"))]
    at, pieces = LogPlace(0, WHOLE), list[list[str]]()
    is_all = False
    while not is_all:
        told, is_all = tell_one(rows, Wish("a"), after=at, limit=1500)
        pieces.append([str(one.at) for one in told])
        at = told[-1].at
    assert pieces == [["1-0", "1-1"], ["1-2", "1-3"], ["1-4", "2-0"]]
    assert tell_one(rows, Wish("a"), after=LogPlace(1, WHOLE), limit=0)[0][0].at == LogPlace(2, 0)


def test_a_follower_is_behind_until_it_has_joined_and_again_when_too_much_waits_for_it() -> None:
    follower = Follower(Wish("a"))
    assert follower.is_behind
    follower.join(7)
    assert follower.put(Told(LogPlace(8, 0), "x", b"1"))
    assert [one.text for one in follower.take()] == [b"1"]
    assert follower.put(Told(LogPlace(9, 0), "x", b"2"))
    assert not follower.put(Told(LogPlace(9, 1), "x", b"3" * MAX_WAITING))
    assert follower.is_behind
    assert follower.take() == []


def bounds(first: int | None = 11, end: int = 20, given: int = 20, **more: Any) -> Bounds:
    oldest, newest = (NOW - HOUR, NOW) if first is not None else (None, None)
    return Bounds(first, oldest, end if first is not None else 0, newest, given, **{"waiting": False, **more})


@pytest.mark.parametrize(
    ("after", "log", "at", "gap"),
    [
        (None, bounds(), (20, WHOLE), False),
        ((15, 3), bounds(), (15, 3), False),
        ((10, 0), bounds(), (10, 0), False),
        ((9, 0), bounds(), (10, WHOLE), True),
        ((0, WHOLE), bounds(), (10, WHOLE), False),
        ((20, 1), bounds(given=25), (20, 1), False),
        ((23, 1), bounds(given=25), (23, 1), False),
        ((26, 1), bounds(given=25), (20, WHOLE), True),
        ((20, 1), bounds(None), (20, 1), False),
        ((19, 1), bounds(None), (19, 1), True),
        (None, bounds(None, given=0), (0, WHOLE), False),
    ],
    ids=str,
)
def test_a_stream_goes_on_where_its_reader_stands_and_tells_what_is_missing(
    after: tuple[int, int] | None, log: Bounds, at: tuple[int, int], gap: bool
) -> None:
    found = start(log, None if after is None else LogPlace(*after))
    assert (found.at, found.gap) == (LogPlace(*at), gap)


def run(created: datetime, finished: datetime | None) -> Run:
    return Run(
        run_id=UUID(int=7),
        namespace="a",
        task="t",
        task_id=1,
        trigger="manual",
        scheduled_at=None,
        priority=5,
        phase="Failed" if finished else "Pending",
        attempt=1,
        created_at=created,
        started_at=None,
        finished_at=finished,
        params={},
        output=None,
        reason=None,
        error=None,
        revision="",
        worker=None,
    )


@pytest.mark.parametrize(
    ("log", "created", "finished", "at", "gap", "over"),
    [
        (bounds(), NOW, None, 20, False, False),  # not in the log yet
        (bounds(), NOW - 2 * HOUR, None, 10, True, False),
        (bounds(), NOW - 2 * HOUR, NOW - HOUR / 2, 10, True, False),
        (bounds(), NOW - 3 * HOUR, NOW - 2 * HOUR, 10, True, True),
        (bounds(None), NOW, None, 0, False, False),
        (bounds(None, waiting=True), NOW, NOW, 0, False, False),
        (bounds(None), NOW, NOW, 0, True, True),
    ],
    ids=str,
)
def test_a_run_without_its_first_event_is_followed_from_where_its_events_may_be(
    log: Bounds, created: datetime, finished: datetime | None, at: int, gap: bool, over: bool
) -> None:
    found = start_without_begin(log, run(created, finished))
    assert (found.at, found.gap, found.over) == (LogPlace(at, WHOLE), gap, over)


@pytest.mark.parametrize("text", ["7", "7-0", "0", f"{2**62}-{2**31 - 1}"])
def test_the_id_of_a_message_is_a_place(text: str) -> None:
    assert str(reader.place(text)) in {text, f"{text}-{WHOLE}"}


@pytest.mark.parametrize("text", ["", "-", "-1", "7-", "07", "7-0-1", "x", "7 ", "٧", str(2**63)])
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of int, or the text
        reader.place(text)


def test_all_messages_end_with_an_empty_line() -> None:
    assert telling.message("end", b"{}", at="7", retry=5) == b"event: end\ndata: {}\nid: 7\nretry: 5\n\n"
