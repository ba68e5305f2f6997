"""
What people see of the API's objects: one row of a table each, and longer descriptions.

Pure: objects in, tables out. The commands fetch and print. Columns are those of ``kubectl get`` where it has them.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from ordinaut_cli import render, times

if TYPE_CHECKING:
    from ordinaut_cli.wallclock import Reading

Object = Mapping[str, Any]


def tasks(items: Iterable[Object], *, now: datetime) -> Table:
    """Return the table of tasks."""
    return render.table(
        "NAME", "SCHEDULE", "TIMEZONE", "SUSPEND", "NEXT", "LAST", "PHASE", "AGE",
        rows=[
            (
                task["metadata"]["name"],
                task["status"].get("schedule", "-"),
                task["status"].get("timeZone", "-"),
                "true" if task["spec"].get("suspend") else "false",
                times.distance(task["status"].get("nextScheduleTime"), now=now),
                times.distance(task["status"].get("lastScheduleTime"), now=now),
                render.phase(task["status"]["phase"]),
                times.age(task["metadata"].get("creationTimestamp"), now=now),
            )
            for task in items
        ],
    )  # fmt: skip


def pipelines(items: Iterable[Object], *, now: datetime) -> Table:  # noqa: ARG001 - all tables are made alike
    """Return the table of pipelines."""
    return render.table(
        "NAME", "STEPS", "TOOLS", "READY", "ORIGIN",
        rows=[
            (
                pipeline["metadata"]["name"],
                str(len(pipeline["spec"].get("steps", []))),
                ", ".join(dict.fromkeys(step["uses"] for step in pipeline["spec"].get("steps", []))),
                ready(pipeline),
                pipeline["metadata"].get("origin", "-"),
            )
            for pipeline in items
        ],
    )  # fmt: skip


def tools(items: Iterable[Object], *, now: datetime) -> Table:  # noqa: ARG001 - all tables are made alike
    """Return the table of tools."""
    return render.table(
        "NAME", "METHOD", "URL", "READY", "ORIGIN",
        rows=[
            (
                tool["metadata"]["name"],
                tool["spec"].get("http", {}).get("method", "POST"),
                tool["spec"].get("http", {}).get("url", "-"),
                ready(tool),
                tool["metadata"].get("origin", "-"),
            )
            for tool in items
        ],
    )  # fmt: skip


def hooks(items: Iterable[Object], *, now: datetime) -> Table:  # noqa: ARG001 - all tables are made alike
    """Return the table of hooks."""
    return render.table(
        "NAME", "TOPIC", "STYLE", "READY", "ORIGIN",
        rows=[
            (
                hook["metadata"]["name"],
                hook["spec"].get("topic", "-"),
                hook["spec"].get("signature", {}).get("style", "-"),
                ready(hook),
                hook["metadata"].get("origin", "-"),
            )
            for hook in items
        ],
    )  # fmt: skip


def runs(items: Iterable[Object], *, now: datetime) -> Table:
    """Return the table of runs."""
    return render.table(
        "RUN", "TASK", "TRIGGER", "PHASE", "CREATED", "DURATION", "REASON",
        rows=[
            (
                run["metadata"]["name"],
                run["spec"]["task"],
                run["spec"]["trigger"],
                render.phase(run["status"]["phase"]),
                times.distance(run["metadata"]["creationTimestamp"], now=now),
                times.duration(run["status"].get("startTime"), run["status"].get("completionTime"), now=now),
                run["status"].get("reason", "-"),
            )
            for run in items
        ],
    )  # fmt: skip


def fires(items: Iterable[Object], *, now: datetime) -> Table:
    """Return the table of a ledger."""
    return render.table(
        "SCHEDULED", "", "OUTCOME", "REASON", "RUN",
        rows=[
            (
                fire["scheduledTime"],
                times.distance(fire["scheduledTime"], now=now),
                render.phase(fire["outcome"]),
                fire.get("reason") or ("Backfill" if "backfill" in fire else "-"),
                fire.get("run", "-"),
            )
            for fire in items
        ],
    )  # fmt: skip


def event_fires(items: Iterable[Object], *, now: datetime) -> Table:
    """Return the table of a ledger of events."""
    return render.table(
        "EVENT", "TYPE", "DECIDED", "OUTCOME", "REASON", "RUN",
        rows=[
            (
                fire["event"]["id"],
                fire["event"]["type"],
                times.distance(fire["decidedAt"], now=now),
                render.phase(fire["outcome"]),
                fire.get("reason", "-"),
                fire.get("run", "-"),
            )
            for fire in items
        ],
    )  # fmt: skip


def preview(items: Iterable["Reading"], *, zone: str, now: datetime) -> Table:
    """Return the table of nominal times to come, as the clocks of ``zone`` show them."""
    return render.table(
        "SCHEDULED", f"LOCAL ({zone})", "OFFSET", "", "CLOCKS",
        rows=[
            (
                one.instant.isoformat().replace("+00:00", "Z"),
                one.local,
                one.offset,
                times.distance(one.instant.isoformat(), now=now),
                "; ".join(one.notes),
            )
            for one in items
        ],
    )  # fmt: skip


def verification(items: Iterable[Object], *, totals: Mapping[str, int] | None) -> Table:
    """Return the table of ledgers and whether they keep the law, with a line for all of them if there are totals."""
    rows = [(item["task"], *_counts(item), item["after"], _events(item), _law(item)) for item in items]
    if totals is not None:
        rows.append(("(all)", *_counts(totals), "", "", _law(totals)))
    return render.table("TASK", "NOMINAL", "FIRED", "SKIPPED", "PENDING", "SINCE", "EVENTS", "LAW", rows=rows)


def _events(item: Object) -> str:
    """Return how many of the newest events matched, if the task has triggers."""
    return str(item["events"]["matched"]) if "events" in item else "-"


def _counts(item: Object) -> tuple[str, ...]:
    return tuple(str(item[name]) for name in ("nominal", "fired", "skipped", "pending"))


def _law(item: Object) -> Text:
    if "unknown" in item:
        return Text("unknown", style="yellow")
    if count := item["violated"]:
        return Text("broken once" if count == 1 else f"broken {count} times", style="red")
    return Text("holds", style="green")


def nominal_times(items: Iterable[str], *, now: datetime) -> Table:
    """Return the table of past nominal times."""
    return render.table("SCHEDULED", "", rows=[(item, times.distance(item, now=now)) for item in items])


def backfills(items: Iterable[Object], *, now: datetime) -> Table:
    """Return the table of backfills."""
    return render.table(
        "BACKFILL", "TASK", "FROM", "TO", "PHASE", "MADE", "ACTIVE", "AGE", "REASON",
        rows=[
            (
                backfill["metadata"]["name"],
                backfill["spec"]["task"],
                backfill["spec"]["from"],
                backfill["spec"]["to"],
                render.phase(backfill["status"]["phase"]),
                f"{backfill['status']['made']}/{backfill['status']['toMake']}",
                str(backfill["status"]["active"]),
                times.age(backfill["metadata"].get("creationTimestamp"), now=now),
                backfill["status"].get("reason", "-"),
            )
            for backfill in items
        ],
    )  # fmt: skip


def steps(run: Object, *, now: datetime) -> Table:
    """Return the table of a run's steps."""
    return render.table(
        "STEP", "PHASE", "TRIES", "DURATION", "RESULT",
        rows=[
            (
                step["id"] if "index" not in step else f"{step['id']}[{step['index']}]",
                render.phase(step["phase"]),
                str(step["attempt"] or "-"),
                times.duration(step.get("startTime"), step.get("completionTime"), now=now),
                step.get("error") or _short(step.get("output")),
            )
            for step in run["status"].get("steps", [])
        ],
    )  # fmt: skip


def events(items: Iterable[Object], *, now: datetime) -> Table:
    """Return the table of events."""
    return render.table(
        "TIME", "", "TYPE", "SUBJECT", "SOURCE", "DATA", "ID",
        rows=[
            (
                event["time"],
                times.distance(event["time"], now=now),
                event["type"],
                event.get("subject", "-"),
                event["source"],
                _short(event.get("data")),
                event["id"],
            )
            for event in items
        ],
    )  # fmt: skip


def event_line(event: Object) -> Text:
    """Return an event as one line."""
    return Text.assemble(
        (render.visible(event["time"]), "dim"),
        f"  {render.visible(event['type'])}",
        (f"  {render.visible(event.get('subject', '-'))}", "bold"),
        f"  {render.visible(_short(event.get('data')))}",
    )


def audit(items: Iterable[Object], *, now: datetime) -> Table:
    """Return the table of an audit trail."""
    return render.table(
        "AT", "", "ACTOR", "VERB", "OBJECT", "DECISION", "REQUEST",
        rows=[
            (
                entry["at"],
                times.distance(entry["at"], now=now),
                entry["actor"],
                entry["verb"],
                entry["object"],
                render.phase(entry["decision"]),
                entry.get("requestId", "-"),
            )
            for entry in items
        ],
    )  # fmt: skip


def workers(items: Iterable[Object], *, now: datetime) -> Table:
    """Return the table of workers."""
    return render.table(
        "WORKER", "QUEUES", "BUSY", "HERE", "VERSION", "AGE", "SEEN", "STATE",
        rows=[
            (
                worker["name"],
                ", ".join(worker["queues"]),
                f"{worker['busy']}/{worker['slots']}",
                str(worker["held"]),
                worker["version"],
                times.age(worker["startTime"], now=now),
                times.distance(worker["seenTime"], now=now),
                Text("draining", style="yellow") if worker["draining"] else Text("live", style="green"),
            )
            for worker in items
        ],
    )  # fmt: skip


def held_runs(items: Iterable[Object], *, now: datetime) -> Table:
    """Return the table of runs that workers hold, and since when."""
    rows = [
        (run["id"], run["task"], worker["name"], times.duration(run["since"], None, now=now))
        for worker in items
        for run in worker["runs"]
    ]
    return render.table("RUN", "TASK", "WORKER", "FOR", rows=rows)


def quota(found: Object) -> Table:
    """Return the table of a quota."""
    used, limits = found["used"], found["limits"]
    return render.table(
        "OBJECTS", "USED", "LIMIT", rows=[(name, str(used[name]), str(limits[name])) for name in limits]
    )


MAX_RESULT: Final = 40
"""Characters of a result in a table; `-o json` has all of it."""


def _short(output: object) -> str:
    if output is None:
        return "-"
    text = output if isinstance(output, str) else render.compact(output)
    return text if len(text) <= MAX_RESULT else text[: MAX_RESULT - 1] + "…"


def ready(item: Object) -> Text:
    """Return whether an object can be used, with the reason if it can't."""
    condition = next((one for one in item["status"]["conditions"] if one["type"] == "Ready"), None)
    if condition is None or condition["status"] == "True":
        return Text("true" if condition else "-", style="green")
    return Text(f"false: {condition['reason']}", style="red")


TABLES: Final[Mapping[str, Callable[..., Table]]] = {
    "tasks": tasks,
    "pipelines": pipelines,
    "tools": tools,
    "hooks": hooks,
    "runs": runs,
}
"""The table of each collection."""
