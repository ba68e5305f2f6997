"""The page that ``kubectl ordinaut status`` prints about an installation."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from ordinaut_cli import findings, render
from ordinaut_cli.cluster.facts import Missed
from ordinaut_cli.cluster.health import Health, Verdict
from ordinaut_cli.cluster.health.versions import Versions
from ordinaut_cli.findings import Weight

_STYLES = {Verdict.HEALTHY: "bold green", Verdict.DEGRADED: "bold red", Verdict.UNKNOWN: "bold yellow"}
_STATES = {"ok": "green", "DOWN": "red", "unknown": "yellow"}


def show(health: Health, *, console: Console) -> None:
    """Print the page: versions, processes, stores, measures, findings, and what could not be seen."""
    installed = health.versions.installed
    title = f"Ordinaut {installed} in namespace {health.namespace}".replace("  ", " ")
    console.print(
        Text.assemble(
            (render.visible(title), "bold"), f" (watching: {render.visible(health.versions.watching)})   "
        ).append(_versions(health.versions))
    )
    console.print(
        render.table(
            "PROCESS", "READY", "IMAGE", "RESTARTS", "DETAIL",
            rows=[
                (
                    one.name,
                    Text(f"{one.ready}/{one.desired}", style="green" if one.ready >= one.desired else "red"),
                    ", ".join(one.images),
                    str(one.restarts),
                    one.detail or "-",
                )
                for one in health.processes
            ],
        )
    )  # fmt: skip
    console.print(
        render.table(
            "STORE", "STATE", "DETAIL",
            rows=[
                (one.name, Text(one.state, style=_STATES[one.state]), one.detail or "-")
                for one in health.measures.stores
            ],
        )
    )  # fmt: skip
    for name, text in health.measures.lines:
        console.print(Text.assemble((f"{name:<10} ", "bold"), render.visible(text)))
    findings.show(health.findings, console=console)
    _unseen(health.unseen, console=console)
    console.print(Text(_verdict(health), style=_STYLES[health.verdict]))


def _versions(versions: Versions) -> Text:
    told = Text(versions.chart)
    if versions.definitions is not None:
        told.append("   CRDs ").append_text(_mark(all(versions.definitions.values())))
    if versions.schema is not None:
        fits = versions.wanted_schema in {None, versions.schema}
        told.append(f"   schema {versions.schema} ").append_text(_mark(fits))
    if versions.tzdata:
        told.append(f"   tzdata {', '.join(versions.tzdata)} ").append_text(_mark(len(versions.tzdata) == 1))
    return told


def _mark(good: bool) -> Text:
    return Text("✔", style="green") if good else Text("✘", style="red")


def _unseen(missed: Sequence[Missed], *, console: Console) -> None:
    for one in missed:
        console.print(Text(render.visible(f"? not seen: {one.what}: {one.why}"), style="dim"))


def _verdict(health: Health) -> str:
    count = sum(one.weight is Weight.BAD for one in health.findings)
    match health.verdict:
        case Verdict.HEALTHY:
            return "Healthy"
        case Verdict.DEGRADED:
            return f"Degraded ({count} {'finding' if count == 1 else 'findings'})"
        case _:
            return "Cannot tell: too little could be seen"
