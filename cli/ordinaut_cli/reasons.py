"""
Why a task runs or does not, and where a run is: from the API's objects to findings with the command that helps.

Pure; ``commands.why`` asks and prints. Reasons are those of ``ordinaut.declaration`` and ``ordinaut.states``, told
again in whole sentences and in the order in which they count: what forbids every run first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from ordinaut.states import FINAL_RUN_PHASES, WHY_SKIPPED, RunPhase, SkipReason, StepPhase, WaitReason
from ordinaut_cli import times
from ordinaut_cli.findings import Finding, bad, good, note

Object = Mapping[str, Any]

SOON: Final = timedelta(seconds=10)
"""How long a run may wait for a worker before that is worth a word."""


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What the API tells about a task."""

    task: Object
    now: datetime
    runs: Sequence[Object] = ()
    """Its latest runs, the newest first."""
    fires: Sequence[Object] = ()
    """The end of its ledger, the newest first."""
    last: Object | None = None
    """Its newest run, with its steps."""
    at_work: Sequence[Object] = ()
    """Runs of the namespace, of whichever task, that workers have now."""
    program: str = "ordinaut"
    """How to call this program, for commands."""

    @property
    def name(self) -> str:
        """The task's name."""
        return str(self.task["metadata"]["name"])

    def command(self, text: str) -> str:
        """Return a command about the task's namespace."""
        return f"{self.program} {text} -n {self.task['metadata']['namespace']}"


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the API tells about a run."""

    run: Object
    now: datetime
    at_work: Sequence[Object] = ()
    program: str = "ordinaut"

    @property
    def name(self) -> str:
        """The run's id."""
        return str(self.run["metadata"]["name"])

    def command(self, text: str) -> str:
        """Return a command about the run's namespace."""
        return f"{self.program} {text} -n {self.run['metadata']['namespace']}"


def of_task(facts: TaskFacts) -> list[Finding]:
    """Return why a task runs or does not."""
    found = [*_ready(facts), *_authorized(facts)]
    found += [*_schedules(facts), *_active(facts), *_skipped(facts), *_last(facts)]
    return found


# -- what forbids every run --------------------------------------------------------------------------------------------

_REMEDIES: Final = {
    "PipelineNotFound": "apply -f PIPELINE.yaml",
    "PipelineInvalid": "get pipelines",
    "ToolNotFound": "get tools",
    "ToolInvalid": "get tools",
    "NameTaken": "get tasks -o yaml",
}


def _ready(facts: TaskFacts) -> Iterator[Finding]:
    ready = _condition(facts.task, "Ready")
    if ready is None or ready["status"] == "True":
        return
    if ready["reason"] == "Pending":
        yield note("it has just been declared and is not judged yet", facts.command(f"why {facts.name}"))
        return
    remedy = facts.command(_REMEDIES.get(ready["reason"], f"get task {facts.name} -o yaml"))
    yield bad(f"it is not ready, so nothing of it starts: {ready['reason']}: {ready['message']}", remedy)


def _authorized(facts: TaskFacts) -> Iterator[Finding]:
    authorized = _condition(facts.task, "Authorized")
    if authorized is not None and authorized["status"] == "False":
        yield bad(f"its times are skipped: {authorized['message']}", facts.command("audit --decision Denied"))


def _condition(item: Object, kind: str) -> Object | None:
    return next((one for one in item["status"].get("conditions", ()) if one["type"] == kind), None)


# -- the schedules -----------------------------------------------------------------------------------------------------


def _schedules(facts: TaskFacts) -> Iterator[Finding]:
    status, by_hand = facts.task["status"], facts.command(f"run {facts.name}")
    scheduled = _condition(facts.task, "Scheduled")
    match scheduled["reason"] if scheduled else "":
        case "Paused":
            pause = status.get("pause") or {}
            since = times.distance(pause.get("since"), now=facts.now)
            text = f"it is paused since {pause.get('since')} ({since}) by {pause.get('by')}: its schedules do not fire"
            yield bad(text, facts.command(f"resume {facts.name}"))
        case "Suspended":
            yield bad("spec.suspend is true: its schedules do not fire", _edit(facts, "spec.suspend: false"))
        case "NoSchedules":
            yield note("it has no schedules: it runs when somebody asks for it", by_hand)
        case "NoFutureFirings":
            yield note("its schedules have no time left: it runs only when somebody asks for it", by_hand)
        case "Snoozed":
            snooze = status.get("snooze") or {}
            until = times.distance(snooze.get("until"), now=facts.now)
            text = f"it is snoozed until {snooze.get('until')} ({until}) by {snooze.get('by')}: nothing starts before"
            yield bad(text, facts.command(f"resume {facts.name}"))
        case _:
            pass
    yield from _next(facts, status.get("nextScheduleTime"))


def _edit(facts: TaskFacts, change: str) -> str:
    origin = facts.task["metadata"].get("origin")
    if origin == "Kubernetes":
        return f"kubectl -n {facts.task['metadata']['namespace']} edit otask {facts.name}   # {change}"
    return facts.command(f"apply -f TASK.yaml   # {change};")


def _next(facts: TaskFacts, time: str | None) -> Iterator[Finding]:
    if time is None:
        return
    late = facts.now - times.parse(time)
    if late > SOON and "snooze" not in facts.task["status"]:
        text = f"its time {time} has been due for {times.span(late.total_seconds())} and nobody has fired it"
        yield bad(f"{text}: no operator is at work, or it can't reach the database", "kubectl ordinaut status")
    else:
        yield good(
            f"its next time is {time} ({times.distance(time, now=facts.now)})", facts.command(f"preview {facts.name}")
        )


# -- what runs, and what was left out ----------------------------------------------------------------------------------


def _active(facts: TaskFacts) -> Iterator[Finding]:
    active = [run for run in facts.runs if run["status"]["phase"] not in FINAL_RUN_PHASES]
    policy = facts.task["spec"].get("concurrencyPolicy", "Allow")
    for run in active[:3]:
        name, phase = run["metadata"]["name"], run["status"]["phase"]
        age = times.age(run["metadata"]["creationTimestamp"], now=facts.now)
        text = f"run {name} is {phase} for {age}"
        if policy == "Forbid":
            text += ", and concurrencyPolicy is Forbid: times that come meanwhile are skipped"
        if policy == "Queue" and run["status"].get("reason") != WaitReason.TURN:
            text += ", and concurrencyPolicy is Queue: the others wait for its end"
        yield (note if policy == "Forbid" else good)(text, facts.command(f"why run {name}"))
        if phase == RunPhase.PENDING:
            yield from _waits_for_worker(run, facts.at_work, now=facts.now)


def _skipped(facts: TaskFacts) -> Iterator[Finding]:
    """Yield the reasons for which its latest times were skipped, each once, as long as the newest was not fired."""
    told: dict[str, list[str]] = {}
    for fire in facts.fires:
        if fire["outcome"] != "Skipped":
            break
        told.setdefault(fire.get("reason", ""), []).append(fire["scheduledTime"])
    for reason, moments in told.items():
        why = WHY_SKIPPED[SkipReason(reason)] if reason in set(SkipReason) else reason
        count = f"its {len(moments)} latest times were" if len(moments) > 1 else f"its latest time, {moments[0]}, was"
        yield bad(f"{count} skipped ({reason}): {why}", facts.command(f"fires {facts.name}"))


def _last(facts: TaskFacts) -> Iterator[Finding]:
    if facts.last is None:
        if not facts.fires:
            yield note("it has never run", facts.command(f"run {facts.name}"))
        return
    name, status = facts.last["metadata"]["name"], facts.last["status"]
    if status["phase"] not in FINAL_RUN_PHASES:
        return
    ago = times.distance(status.get("completionTime"), now=facts.now)
    if status["phase"] == RunPhase.SUCCEEDED:
        yield good(f"its last run {name} succeeded {ago}", facts.command(f"logs {name}"))
    else:
        text = f"its last run {name} ended {ago} as {status['phase']}{_because(facts.last)}"
        yield bad(text, facts.command(f"why run {name}"))


# -- a run -------------------------------------------------------------------------------------------------------------


def of_run(facts: RunFacts) -> list[Finding]:
    """Return where a run is, and why it waits or has failed."""
    match RunPhase(facts.run["status"]["phase"]):
        case RunPhase.PENDING:
            return _pending(facts)
        case RunPhase.RUNNING:
            return _running(facts)
        case RunPhase.WAITING:
            return [_waiting(facts)]
        case phase:
            return _over(facts, phase)


def _pending(facts: RunFacts) -> list[Finding]:
    waiting = list(_waits_for_worker(facts.run, facts.at_work, now=facts.now))
    age = times.age(facts.run["metadata"]["creationTimestamp"], now=facts.now)
    return waiting or [good(f"it is in the queue for {age}: a worker takes it any moment")]


def _running(facts: RunFacts) -> list[Finding]:
    status = facts.run["status"]
    step = next((one for one in status.get("steps", ()) if one["phase"] == StepPhase.RUNNING), None)
    at = f", step {_step(step)}" if step else ""
    since = times.distance(status.get("startTime"), now=facts.now)
    logs = facts.command(f"logs -f {facts.name}")
    found = [good(f"it runs on worker {status.get('worker', '?')}{at}; it began {since}", logs)]
    if (count := status["attempt"]) > 1:
        found.append(note(f"it was given to workers {count} times: those before were lost", "kubectl ordinaut status"))
    return found


def _waiting(facts: RunFacts) -> Finding:
    match facts.run["status"].get("reason"):
        case WaitReason.TURN:
            return _behind(facts)
        case WaitReason.JITTER:
            scheduled = facts.run["spec"].get("scheduledTime")
            return good(f"by the jitter of its task it starts a little later than its time, {scheduled}")
        case _:
            return _retried(facts)


def _behind(facts: RunFacts) -> Finding:
    """Tell which run a run of a task with concurrencyPolicy Queue waits for."""
    task = facts.run["spec"]["task"]
    before = [one["metadata"]["name"] for one in facts.at_work if one["spec"]["task"] == task]
    if before:
        text = f"it waits for its turn: run {before[0]} of its task is under way"
        return note(text, facts.command(f"why run {before[0]}"))
    return note("it waits for its turn behind other runs of its task", facts.command(f"runs --task {task}"))


def _retried(facts: RunFacts) -> Finding:
    steps = facts.run["status"].get("steps", ())
    step = next((one for one in reversed(steps) if one["phase"] == StepPhase.WAITING), None)
    logs = facts.command(f"logs -f {facts.name}")
    if step is None:
        return note("it waits until it is tried again", logs)
    error = step.get("error", "no error is known")
    return bad(f"step {_step(step)} failed and is tried again; try {step['attempt']}: {error}", logs)


def _over(facts: RunFacts, phase: RunPhase) -> list[Finding]:
    run, status = facts.run, facts.run["status"]
    again = note("try it again", facts.command(f"retry {facts.name}"))
    if phase is RunPhase.SUCCEEDED:
        took = times.duration(status.get("startTime"), status.get("completionTime"), now=facts.now)
        return [good(f"it succeeded in {took}", facts.command(f"logs {facts.name}"))]
    if phase is RunPhase.CANCELLED:
        return [note(f"it was cancelled{_because(run)}", facts.command(f"run {run['spec']['task']}"))]
    if phase is RunPhase.PARKED:
        text = f"it is parked{_because(run)}: look for workers that are killed (memory, node)"
        return [bad(text, "kubectl ordinaut status"), again]
    return [bad(f"it ended as {phase}{_because(run)}", facts.command(f"logs {facts.name}")), again]


def _waits_for_worker(run: Object, at_work: Sequence[Object], *, now: datetime) -> Iterator[Finding]:
    age = now - times.parse(run["metadata"]["creationTimestamp"])
    if age <= SOON:
        return
    workers = sorted({one["status"]["worker"] for one in at_work if one["status"].get("worker")})
    text = f"run {run['metadata']['name']} has waited {times.span(age.total_seconds())} for a worker"
    if workers:
        text += f": those seen at work here ({', '.join(workers)}) have no slot free, or more urgent work comes first"
    else:
        text += ": no worker is seen at work here"
    yield bad(text, "kubectl ordinaut status")


def _because(run: Object) -> str:
    """Return reason and error of a run that has ended, with the step that failed."""
    status = run["status"]
    reason = f" ({status['reason']})" if status.get("reason") else ""
    failed = [one for one in status.get("steps", ()) if one.get("error")]
    if failed and status["phase"] not in {RunPhase.CANCELLED, RunPhase.PARKED}:
        return f"{reason}: step {_step(failed[-1])}: {failed[-1]['error']}"
    return f"{reason}: {status['error']}" if status.get("error") else reason


def _step(step: Object) -> str:
    return f"{step['id']}[{step['index']}]" if "index" in step else str(step["id"])
