"""
Why a task runs or does not: from its row, its ledger, its runs and the workers of its queue to causes. Pure.

In the order in which they count: what forbids every run, what keeps its schedules quiet, who should have acted and did
not, what was left out, and then what is as it should be.
"""

from collections.abc import Iterator
from typing import Final

from ordinaut.causes import Cause, Level
from ordinaut.declaration import standing
from ordinaut.shapes import Because, Why, WhySubject
from ordinaut.states import WHY_SKIPPED, RunPhase, SkipReason
from ordinaut.store.status import TaskRow
from ordinaut.store.why import TaskFacts
from ordinaut.why import events, queueing
from ordinaut.why.ending import because_of
from ordinaut.why.releases import Releases
from ordinaut.why.wording import SOON, blocking, moment
from ordinaut.why.wording import standing as run_standing

SHOWN: Final = 3
"""Tools that are named."""

_HARMLESS: Final = frozenset({SkipReason.NOT_CAUGHT_UP, SkipReason.COALESCED, SkipReason.CATCH_UP_LIMIT})
"""Why times are skipped that came while nobody could fire."""

_DECLARED: Final = {
    "Kubernetes": "as its resource in Kubernetes says",
    "Directory": "as its manifest says",
    "API": "as whoever declared it through the API wanted",
}


def of_task(facts: TaskFacts) -> Why:
    """Return why a task runs or does not."""
    row = facts.row
    phase = standing.task_phase(row)
    last = list(_last(facts))
    because = [
        *_ready(facts),
        *_authorized(row),
        *_asleep(row),
        *_overdue(facts),
        *events.behind(facts),
        *queueing.unserved(facts.around.queue, facts.workers, namespace=row.namespace),
        *_active(facts),
        *_skipped(facts),
        *events.skipped(facts),
        *(one for one in last if one.level is Level.BLOCKING),
        *_times(row),
        *events.gathering(facts),
        *events.listening(facts),
        *(one for one in last if one.level is not Level.BLOCKING),
    ]
    return Why(
        subject=WhySubject(kind="Task", namespace=row.namespace, name=row.name),
        phase=phase,
        as_of=row.now,
        summary=f"Task {row.namespace}/{row.name} is {phase}: {because[0].message}",
        because=because,
    )


# -- what forbids every run --------------------------------------------------------------------------------------------


def _ready(facts: TaskFacts) -> Iterator[Because]:
    row, releases = facts.row, Releases(facts.row.namespace)
    if row.ready:
        return
    if row.reason == "Pending":
        text = "it has just been declared, and nobody has looked yet whether it can run"
        yield Because(reason=Cause.NOT_JUDGED, level=Level.NOTE, message=text, action=releases.ask_task(row.name))
        return
    cause, action = Cause.NOT_READY, releases.edit_task(row.name, origin=row.origin, change="mend its spec")
    if row.reason in {"ToolNotFound", "ToolInvalid"}:
        cause = Cause.TOOL_MISSING
        action = releases.put_tool(facts.around.lacking_tools[0]) if facts.around.lacking_tools else action
    elif row.reason in {"PipelineNotFound", "PipelineInvalid"}:
        cause = Cause.PIPELINE_MISSING
        action = releases.put_pipeline(facts.around.pipeline_ref) if facts.around.pipeline_ref else action
    text = f"it is not ready, so nothing of it starts: {row.reason}: {row.message}{_others(facts)}"
    yield Because(reason=cause, level=Level.BLOCKING, message=text, detail=row.reason, action=action)


def _others(facts: TaskFacts) -> str:
    """Return which other Tools are lacking: a condition names the first only."""
    others = [name for name in facts.around.lacking_tools if f"/{name}" not in facts.row.message]
    if not others or not facts.row.reason.startswith("Tool"):
        return ""
    more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    return f"; also missing or not valid: {', '.join(others[:SHOWN])}{more}"


def _authorized(row: TaskRow) -> Iterator[Because]:
    authorized = standing.task_authorized(row)
    if authorized is None or authorized.holds:
        return
    change = f"give {row.creator} the right to run tasks back, or declare it as somebody who has it"
    yield Because(
        reason=Cause.UNAUTHORIZED,
        level=Level.BLOCKING,
        message=f"its times are skipped: {authorized.message}",
        detail=authorized.reason,
        since=row.unauthorized_at,
        by=row.creator,
        action=Releases(row.namespace).edit_task(row.name, origin=row.origin, change=change),
    )


# -- what keeps its schedules quiet ------------------------------------------------------------------------------------


def _asleep(row: TaskRow) -> Iterator[Because]:
    releases = Releases(row.namespace)
    if row.paused_at is not None:
        yield Because(
            reason=Cause.PAUSED,
            level=Level.BLOCKING,
            message=f"it is paused since {moment(row.paused_at)} by {row.paused_by}: {events.quiet(row)}",
            since=row.paused_at,
            by=row.paused_by,
            action=releases.resume(row.name),
        )
    if row.spec.get("suspend"):
        by = row.creator
        declared = f"as {by} declared it through the API" if by else _DECLARED[row.origin]
        yield Because(
            reason=Cause.SUSPENDED,
            level=Level.BLOCKING,
            message=f"spec.suspend is true, {declared}: {events.quiet(row)}",
            by=by,
            action=releases.edit_task(
                row.name, origin=row.origin, change="set spec.suspend to false", body={"spec": {"suspend": False}}
            ),
        )
    if row.snoozed_until is not None:
        yield Because(
            reason=Cause.SNOOZED,
            level=Level.BLOCKING,
            message=f"it is snoozed until {moment(row.snoozed_until)} by {row.snoozed_by}: nothing of it starts before",
            until=row.snoozed_until,
            by=row.snoozed_by,
            action=releases.resume(row.name),
        )


def _overdue(facts: TaskFacts) -> Iterator[Because]:
    row, due = facts.row, facts.row.next_fire_at
    if due is None or row.snoozed_until is not None or row.now - due <= SOON:
        return
    text = f"its time {moment(due)} has come, and nobody has fired it: "
    if not facts.around.operated:
        text += "no operator is connected to the database"
    elif row.creator is not None and row.unauthorized_at is None:
        text += f"an operator is at work, and may not know yet whether {row.creator} may still run it"
    else:
        text += "an operator is connected to the database, and does not get to it"
    yield Because(
        reason=Cause.OVERDUE,
        level=Level.BLOCKING,
        message=text,
        since=due,
        action=Releases(row.namespace).installation("see whether an operator is at work, and what it lacks"),
    )


def _times(row: TaskRow) -> Iterator[Because]:
    """Yield the next time, or that there is none although nothing keeps the schedules quiet."""
    by_hand = Releases(row.namespace).run_now(row.name) if row.ready else None
    if (due := row.next_fire_at) is not None:
        if row.now - due <= SOON and row.snoozed_until is None:
            text = f"its next time is {moment(due)}"
            level = Level.GOOD if row.ready else Level.NOTE
            yield Because(reason=Cause.NEXT_TIME, level=level, message=text, until=due, action=by_hand)
        return
    match standing.task_scheduled(row).reason:
        case "NoSchedules" if not standing.topics(row):
            text = "it has no schedules: it runs when somebody asks for it"
            yield Because(reason=Cause.NO_SCHEDULES, level=Level.NOTE, message=text, action=by_hand)
        case "NoFutureFirings":
            text = "its schedules have no time left: it runs only when somebody asks for it"
            yield Because(reason=Cause.NO_FUTURE_TIMES, level=Level.NOTE, message=text, action=by_hand)


# -- what runs, what was left out, and how it went ---------------------------------------------------------------------


def _active(facts: TaskFacts) -> Iterator[Because]:
    if not facts.unfinished:
        return
    row, first = facts.row, facts.unfinished[0]
    policy = row.spec.get("concurrencyPolicy", "Allow")
    text = run_standing(first)
    if len(facts.unfinished) > 1:
        text = f"{len(facts.unfinished)} of its runs are under way or wait: {text}"
    match policy:
        case "Forbid":
            text += ", and concurrencyPolicy is Forbid: times that come meanwhile are skipped"
        case "Queue" if facts.around.in_turn:
            text += f", and concurrencyPolicy is Queue: {_count_in_turn(facts)} for its end"
        case "Replace":
            text += ", and concurrencyPolicy is Replace: the next run takes its place"
        case _:
            pass
    yield Because(
        reason=Cause.ACTIVE_RUN,
        level=Level.NOTE if policy in {"Forbid", "Queue"} else Level.GOOD,
        message=text,
        detail=policy,
        since=first.since,
        holders=[blocking(run) for run in facts.unfinished],
        action=Releases(row.namespace).ask_run(first.run_id),
    )


def _count_in_turn(facts: TaskFacts) -> str:
    return "1 other waits" if facts.around.in_turn == 1 else f"{facts.around.in_turn:,} others wait"


def _skipped(facts: TaskFacts) -> Iterator[Because]:
    """Yield the reasons for which its latest times were skipped, each once, as long as the newest was not fired."""
    told: dict[str, list[str]] = {}
    for fire in facts.fires:
        if fire.outcome != "Skipped":
            break
        told.setdefault(str(fire.reason), []).append(moment(fire.scheduled_at))
    for reason, times in told.items():
        known = SkipReason(reason) if reason in set(SkipReason) else None
        count = f"{len(times)} of its latest times were" if len(times) > 1 else f"its latest time, {times[0]}, was"
        yield Because(
            reason=Cause.TIMES_SKIPPED,
            level=Level.NOTE if known in _HARMLESS else Level.BLOCKING,
            message=f"{count} skipped ({reason}): {WHY_SKIPPED[known] if known else reason}",
            detail=reason,
            action=Releases(facts.row.namespace).fires(facts.row.name),
        )


def _last(facts: TaskFacts) -> Iterator[Because]:
    row, releases = facts.row, Releases(facts.row.namespace)
    if row.run_id is None:
        if not facts.fires and not (facts.events and facts.events.fires):
            yield Because(reason=Cause.NEVER_RAN, level=Level.NOTE, message="it has never run")
        return
    if row.run_finished_at is None or row.run_phase is None:
        return
    succeeded = row.run_phase == RunPhase.SUCCEEDED
    ended = f"its last run {row.run_id} ended at {moment(row.run_finished_at)} as {row.run_phase}"
    why = because_of(row.run_phase, reason=row.run_reason, error=facts.last_error, steps=facts.last_steps)
    yield Because(
        reason=Cause.LAST_RUN,
        level=Level.GOOD if succeeded else Level.BLOCKING,
        message=ended if succeeded or not why else f"{ended}: {why}",
        detail=row.run_phase,
        since=row.run_finished_at,
        action=releases.steps(row.run_id) if succeeded else releases.ask_ended_run(row.run_id),
    )
