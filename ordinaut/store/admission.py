"""
Admission: who of those that wait for concurrency keys gets slots, decided by one transaction at a time.

The operator's ``admission`` and idle workers call :func:`admit`. A pass takes what ``key_news`` names (freed keys, new
runs, changed limits), looks up the contests that this is about and how they stand, has :mod:`ordinaut.store.contest`
choose, and moves the chosen runs to the queue. So its work depends on what has changed, not on how many wait. News are
committed with what they are about and deleted with what came of them, so that none is lost.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from uuid import UUID

from ordinaut.store.contest import MOST, Candidate, Contest, Slot, choose, room
from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL

NEWS: Final = 500
"""News that one pass takes."""

WINDOWS: Final = (32, 1024)
"""Contests of a key that one pass looks at: first so many, and more if it has room and none of those can use it."""

OF_TASK: Final = 500
"""Contests of a task whose limits have changed that one pass looks at."""

START: Final = UUID(int=0)

Name = tuple[int, UUID]
"""What tells a contest from others: its task, and what it was given for its keys."""


class Round(NamedTuple):
    """How far something that goes round all contests has come."""

    task_id: int = 0
    contest: UUID = START


@dataclass(frozen=True, slots=True)
class Pass:
    """What admission did once: how many runs it let go on, and whether there may be more to do at once."""

    admitted: int = 0
    more: bool = False


class _News(NamedTuple):
    """A row of ``key_news``: a key, a contest, or the contests of a task ``behind`` one."""

    namespace: str | None = None
    key: str | None = None
    task_id: int | None = None
    contest: UUID | None = None
    behind: UUID | None = None


@dataclass(slots=True)
class _Agenda:
    """What news are about, and what of it is left for the next pass."""

    full: bool
    slots: set[Slot]
    contests: set[Name]
    onward: list[_News] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Look:
    """How contests stand, and who of them goes on; ``cut`` are keys for which others wait behind those looked at."""

    contests: Sequence[Name]
    chosen: Sequence[Candidate]
    cut: set[Slot]
    is_short: bool
    """A key that was cut has room left, and nobody was chosen."""
    stale: set[Slot]
    """Keys that were cut, where some of those looked at wait no more: they are forgotten, and others come first."""


async def admit(connection: Connection, *, patient: bool = True) -> Pass:
    """
    Let runs go on for which there is room, in a transaction of its own.

    Only one at a time does this; who is not ``patient`` leaves it to whoever is at it.
    """
    if (await (await connection.execute(SQL["any_key_news"])).fetchone()) != (True,):
        return Pass()
    async with connection.transaction():
        row = await (await connection.execute(SQL["lock_admission"], {"patient": patient})).fetchone()
        if row is None or not row[0]:
            return Pass()
        # Statements of their own: they see what was granted while this one waited for the lock.
        agenda = await _agenda(connection)
        for window in WINDOWS:
            look = await _look(connection, agenda, window=window)
            if not look.is_short:
                break
        admitted, dropped = await _move(connection, look.chosen) if look.chosen else (set(), 0)
        if look.contests:
            await connection.execute(SQL["order_awaited"], _named(look.contests))
        more = [*agenda.onward, *_left(look)]
        stayed = {(one.task_id, one.contest) for one in look.chosen if one.run_id not in admitted}
        again = more + [_News(task_id=task_id, contest=contest) for task_id, contest in sorted(stayed)]
        if again:
            await _add_news(connection, again)
    return Pass(len(admitted), more=agenda.full or bool(more) or dropped > 0)


async def go_round(connection: Connection, after: Round, *, limit: int) -> Round:
    """
    Have admission look at the next contests whatever the news, as part of a transaction; returns how far it has come.

    It mends what older processes and rows written by hand left behind, and finds the runs that could use a key behind
    very many that can't.
    """
    cursor = await connection.execute(SQL["contests_behind"], {**after._asdict(), "limit": limit})
    found = [Round(*row) for row in await cursor.fetchall()]
    if found:
        await _add_news(connection, [_News(task_id=one.task_id, contest=one.contest) for one in found])
    return found[-1] if len(found) == limit else Round()


async def _agenda(connection: Connection) -> _Agenda:
    cursor = await connection.execute(SQL["take_key_news"], {"limit": NEWS})
    news = [_News(*row) for row in await cursor.fetchall()]
    agenda = _Agenda(
        full=len(news) == NEWS,
        slots={Slot(one.namespace, one.key) for one in news if one.namespace is not None and one.key is not None},
        contests={(one.task_id, one.contest) for one in news if one.task_id is not None and one.contest is not None},
    )
    tasks = {(one.task_id, one.behind) for one in news if one.task_id is not None and one.behind is not None}
    if tasks:
        named = {"task_ids": [task for task, _ in tasks], "behinds": [behind for _, behind in tasks]}
        cursor = await connection.execute(SQL["contests_of_tasks"], {**named, "limit": OF_TASK})
        for task_id, contest, place in await cursor.fetchall():
            agenda.contests.add((task_id, contest))
            if place == OF_TASK:
                agenda.onward.append(_News(task_id=task_id, behind=contest))
    return agenda


async def _look(connection: Connection, agenda: _Agenda, *, window: int) -> _Look:
    names = set(agenda.contests)
    seen: dict[Slot, list[Name]] = {}
    if agenda.slots:
        cursor = await connection.execute(SQL["contests_of_keys"], {**_slots(agenda.slots), "limit": window})
        for namespace, key, task_id, contest in await cursor.fetchall():
            seen.setdefault(Slot(namespace, key), []).append((task_id, contest))
            names.add((task_id, contest))
    contests = await _limits(connection, sorted(names))
    held = await _held(connection, {slot for one in contests for slot in one.limits})
    chosen = choose(contests, await _candidates(connection, contests, held), held=held)
    cut = {slot for slot, found in seen.items() if len(found) == window}
    is_short = not chosen and any(_has_room(slot, contests, held) for slot in cut)
    stale = {slot for slot in cut if not {one.name for one in contests}.issuperset(seen[slot])}
    return _Look(sorted(names), chosen, cut, is_short, stale)


def _has_room(slot: Slot, contests: Iterable[Contest], held: Mapping[Slot, int]) -> bool:
    limits = [one.limits[slot] for one in contests if slot in one.limits]
    return any(limit is None or held.get(slot, 0) < limit for limit in limits)


def _left(look: _Look) -> list[_News]:
    """Return what the next pass has to look at: where some went on, those behind the ones looked at may, too."""
    of: dict[Name, int] = {}
    for one in look.chosen:
        of[one.task_id, one.contest] = of.get((one.task_id, one.contest), 0) + 1
    slots = look.cut if look.chosen else look.stale
    keys = [_News(namespace=slot.namespace, key=slot.key) for slot in sorted(slots)]
    return keys + [_News(task_id=name[0], contest=name[1]) for name, count in sorted(of.items()) if count >= MOST]


async def _limits(connection: Connection, names: Sequence[Name]) -> list[Contest]:
    if not names:
        return []
    cursor = await connection.execute(SQL["contest_limits"], _named(names))
    found: dict[Name, dict[Slot, int | None]] = {}
    for task_id, contest, namespace, key, limit in await cursor.fetchall():
        found.setdefault((task_id, contest), {})[Slot(namespace, key)] = limit
    return [Contest(*name, limits) for name, limits in found.items()]


async def _held(connection: Connection, slots: set[Slot]) -> dict[Slot, int]:
    if not slots:
        return {}
    cursor = await connection.execute(SQL["held_slots"], _slots(slots))
    return {Slot(row[0], row[1]): row[2] for row in await cursor.fetchall()}


async def _candidates(connection: Connection, contests: Iterable[Contest], held: Mapping[Slot, int]) -> list[Candidate]:
    rooms = {one.name: left for one in contests if (left := room(one, held))}
    if not rooms:
        return []
    named = _named(list(rooms))
    cursor = await connection.execute(SQL["keyed_candidates"], {**named, "rooms": list(rooms.values())})
    return [Candidate(*row) for row in await cursor.fetchall()]


async def _move(connection: Connection, chosen: Sequence[Candidate]) -> tuple[set[UUID], int]:
    """Move runs to the queue; return which, and how many were dropped, having ended. Those just ending stay."""
    named = {"ids": [one.id for one in chosen], "run_ids": [one.run_id for one in chosen]}
    row = await (await connection.execute(SQL["admit_runs"], named)).fetchone()
    admitted = set(row[0]) if row else set()
    await connection.execute(SQL["pend_runs"], {"run_ids": sorted(admitted)})
    left = [one.run_id for one in chosen if one.run_id not in admitted]
    if not left:
        return admitted, 0
    return admitted, (await connection.execute(SQL["drop_ended_keyed"], {"run_ids": left})).rowcount


async def _add_news(connection: Connection, news: Sequence[_News]) -> None:
    await connection.execute(
        SQL["add_key_news"],
        {
            "namespaces": [one.namespace for one in news],
            "keys": [one.key for one in news],
            "task_ids": [one.task_id for one in news],
            "contests": [one.contest for one in news],
            "behinds": [one.behind for one in news],
        },
    )


def _slots(slots: Iterable[Slot]) -> dict[str, list[str]]:
    ordered = sorted(slots)
    return {"namespaces": [slot.namespace for slot in ordered], "keys": [slot.key for slot in ordered]}


def _named(names: Sequence[Name]) -> dict[str, list[Any]]:
    return {"task_ids": [task_id for task_id, _ in names], "contests": [contest for _, contest in names]}
