"""
The law of the ledger: nominal times = fired + skipped + pending, at every moment.

Pure: over what ``store.ledger`` reads in one snapshot. The times that the schedules name are computed anew and compared
with the lines of the ledger, and the clock's next time with the one that comes after the last that was decided. The
operator's checker judges some tasks once a minute, ``ordinaut verify`` all of a namespace or the whole ledger of one,
in parts.

A task is judged from ``counted_from`` on, when its present schedules and time zone data began to count. A line that a
backfill has made may lie before that; later it accounts for its time like any other.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, islice, takewhile
from typing import Final

from ordinaut.declaration.nominal import not_before, stored_schedules
from ordinaut.resources.moment import format_instant
from ordinaut.schedule import iter_fires, tzdata_version
from ordinaut.store.invariants import Invariant
from ordinaut.store.ledger import Account

MORE: Final = 100
"""Nominal times that a look computes beyond those that it has lines for: enough to say which ones lack theirs."""

PENDING: Final = 1000
"""Up to how many times that wait to be decided are counted."""

INVARIANTS: Final = (Invariant.UNACCOUNTED_TIME, Invariant.INVENTED_TIME, Invariant.WRONG_NEXT_TIME)
"""What a breach of the law is named after."""

_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Breach:
    """One way in which a ledger breaks the law; ``at`` is the time that it is about."""

    invariant: Invariant
    at: datetime | None
    text: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """
    What a look at the times in (``after``, ``until``] has found.

    ``nominal`` = ``fired`` + ``skipped`` + ``pending`` + those that lack their line. ``pending`` are times that have
    come and are not decided yet, at most ``PENDING``; none where the look has not come so far (``is_whole``) or the
    task sleeps.
    """

    after: datetime
    until: datetime
    is_whole: bool
    nominal: int = 0
    fired: int = 0
    skipped: int = 0
    pending: int = 0
    breaches: tuple[Breach, ...] = ()


@dataclass(frozen=True, slots=True)
class _Line:
    fired: bool
    backfilled: bool


@dataclass(frozen=True, slots=True)
class _Part:
    """The times in (``after``, ``until``], and their lines; ``is_whole``: nothing follows it."""

    after: datetime
    until: datetime
    is_whole: bool
    lines: dict[datetime, _Line]


@dataclass(frozen=True, slots=True)
class _Named:
    """What the schedules say: times that must have been decided, the next one, and what of those after it has come."""

    decided: dict[datetime, None]
    following: datetime | None
    come: list[datetime]


def newest(account: Account, *, lines: int) -> Judgement | None:
    """
    Judge the newest part of a ledger, of which ``lines`` + 1 lines were read.

    None if it can't be told, since the times were computed with other time zone data than this process has.
    """
    found = _lines(account)
    after = account.counted_from
    if len(found) > lines:
        found = dict(islice(found.items(), len(found) - lines, None))
        after = max(after, next(iter(found)) - _SECOND)
    return _judge(account, _Part(after, max(after, account.evaluated_at), True, found))


def part(account: Account, *, after: datetime, lines: int) -> Judgement | None:
    """
    Judge the first part of a ledger later than ``after``, of which ``lines`` + 1 lines were read; None as for `newest`.

    The next part comes after ``until``, unless this one ``is_whole``.
    """
    found = _lines(account)
    after = max(after, account.counted_from)
    if len(found) <= lines:
        return _judge(account, _Part(after, max(after, account.evaluated_at), True, found))
    found = dict(islice(found.items(), lines))
    return _judge(account, _Part(after, next(reversed(found)), False, found))


def _lines(account: Account) -> dict[datetime, _Line]:
    each = zip(account.times, account.fired, account.backfilled, strict=True)
    return {at: _Line(fired, backfilled) for at, fired, backfilled in each}


def _judge(account: Account, looked: _Part) -> Judgement | None:
    if account.tzdata != tzdata_version():
        return None
    looked, named = _compare(account, looked)
    missing = [at for at in named.decided if at not in looked.lines]
    invented = [at for at, line in looked.lines.items() if at not in named.decided and not line.backfilled]
    counted = [line for at, line in looked.lines.items() if at in named.decided or line.backfilled]
    breaches = [*map(_unaccounted, missing), *(_invented(at, looked.lines[at]) for at in invented)]
    pending = 0
    if looked.is_whole:
        breaches += _wrong_next(account, named.following)
        # A time that is not decided yet may have been made up for by a backfill.
        pending = sum(at not in looked.lines for at in named.come)
    fired = sum(line.fired for line in counted)
    return Judgement(
        looked.after,
        looked.until,
        looked.is_whole,
        nominal=len(counted) + len(missing) + pending,
        fired=fired,
        skipped=len(counted) - fired,
        pending=pending,
        breaches=tuple(breaches),
    )


def _compare(account: Account, looked: _Part) -> tuple[_Part, _Named]:
    """Return what the schedules say of a part, which ends early where there are many more nominal times than lines."""
    schedules = () if account.schedules is None else stored_schedules(account.schedules, anchor=account.anchor)
    times = iter_fires(schedules, after=min(looked.after, account.evaluated_at))
    last, limit = min(looked.until, account.evaluated_at), len(looked.lines) + MORE
    decided: dict[datetime, None] = {}
    for at in times:
        if at > last:
            waits = looked.is_whole and account.next_fire_at is not None
            come = islice(chain([at], times), PENDING) if waits else iter(())
            return looked, _Named(decided, at, list(takewhile(lambda at: at <= account.now, come)))
        if len(decided) == limit:
            until = next(reversed(decided))
            lines = {at: line for at, line in looked.lines.items() if at <= until}
            return _Part(looked.after, until, False, lines), _Named(decided, None, [])
        decided[at] = None
    return looked, _Named(decided, None, [])


def _wrong_next(account: Account, following: datetime | None) -> list[Breach]:
    """Return that the clock is set to something else than the first time that is not decided yet, if it is."""
    right = None if account.asleep else not_before(following, account.snoozed_until)
    is_over = account.snoozed_until is not None and account.snoozed_until <= account.now
    # Once a snooze is over, what it has held back is being worked off.
    if account.next_fire_at == right or (is_over and not account.asleep and account.next_fire_at == following):
        return []
    text = f"the clock is set to {_told(account.next_fire_at)}, and the schedules say {_told(right)}"
    return [Breach(Invariant.WRONG_NEXT_TIME, account.next_fire_at, text)]


def _told(at: datetime | None) -> str:
    return "no time" if at is None else format_instant(at)


def _unaccounted(at: datetime) -> Breach:
    text = f"{format_instant(at)} is a nominal time, and the ledger has no line for it"
    return Breach(Invariant.UNACCOUNTED_TIME, at, text)


def _invented(at: datetime, line: _Line) -> Breach:
    outcome = "fired" if line.fired else "skipped"
    text = f"{format_instant(at)} is {outcome} in the ledger, and no schedule names it"
    return Breach(Invariant.INVENTED_TIME, at, text)
