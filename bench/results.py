"""
``RESULTS.json`` and ``RESULTS.md``: what was measured last, goal by goal and figure by figure.

A benchmark that is run alone replaces its own figures and leaves those of the others, with their dates.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import machine
from bench.goals import GOALS
from bench.report import Options, Report

FOLDER = Path(__file__).parent
JSON = FOLDER / "RESULTS.json"
MARKDOWN = FOLDER / "RESULTS.md"

INTRODUCTION = """# Results

What `make bench` measured last, written by it. [docs/performance.md](../docs/performance.md) says what each figure
means. On a machine that others share, wall-clock figures vary by half: trust ratios, CPU and WAL.
"""

Document = dict[str, Any]


def merged(old: Document, name: str, report: Report, options: Options) -> Document:
    """Return the results with those of one benchmark replaced."""
    values = {key: value for key, value in _values(old).items() if _benchmark(key) != name} | dict(report.goals)
    rows = [row for row in old.get("rows", []) if row["benchmark"] != name]
    rows += [{"benchmark": name, "name": what, "figure": figure} for what, figure in report.rows]
    taken = {
        "title": report.title,
        "command": report.command,
        "date": machine.today(),
        "scale": options.scale,
        "rounds": options.rounds,
        "machine": machine.describe(),
        "versions": machine.versions(),
    }
    return {
        "goals": [_judged(goal.key, values) for goal in GOALS],
        "rows": rows,
        "benchmarks": {**old.get("benchmarks", {}), name: taken},
    }


def read() -> Document:
    """Return the results as they are."""
    return dict(json.loads(JSON.read_text())) if JSON.exists() else {}


def write(document: Document) -> None:
    """Write both files."""
    JSON.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    MARKDOWN.write_text("\n".join(markdown(document)) + "\n")


def markdown(document: Document) -> Iterable[str]:
    """Yield the lines of the page."""
    yield INTRODUCTION
    yield from _table(
        ["goal", "target", "measured", ""],
        [[goal["name"], goal["target"], _shown(goal), _verdict(goal)] for goal in document["goals"]],
    )
    for name, taken in document["benchmarks"].items():
        yield f"\n## {name}\n"
        yield f"{taken['title']}.\n"
        yield f"{_circumstances(taken)}: `{taken['command']}`\n"
        rows = [[row["name"], row["figure"]] for row in document["rows"] if row["benchmark"] == name]
        yield from _table(["what", "figure"], rows)


def verdicts(report: Report) -> list[tuple[str, str]]:
    """Return the goals that a report has figures for, each with its target and whether it is met."""
    judged = [_judged(goal.key, report.goals) for goal in GOALS if goal.key in report.goals]
    return [(f"goal: {one['name']}", f"{_shown(one)}, {one['target']}: {_verdict(one)}") for one in judged]


def _judged(key: str, values: Mapping[str, float]) -> Document:
    goal = next(goal for goal in GOALS if goal.key == key)
    value = values.get(key)
    met = None if value is None else goal.met(value)
    return {"key": key, "name": goal.name, "value": value, "unit": goal.unit, "target": goal.target, "met": met}


def _values(document: Document) -> dict[str, float]:
    known = {goal.key for goal in GOALS}
    goals = document.get("goals", [])
    return {goal["key"]: goal["value"] for goal in goals if goal["value"] is not None and goal["key"] in known}


def _benchmark(key: str) -> str:
    return next(goal.benchmark for goal in GOALS if goal.key == key)


def _shown(judged: Document) -> str:
    if judged["value"] is None:
        return "not measured"
    return next(goal for goal in GOALS if goal.key == judged["key"]).shown(judged["value"])


def _verdict(judged: Document) -> str:
    return {None: "", True: "met", False: "**missed**"}[judged["met"]]


def _circumstances(taken: Document) -> str:
    on = taken["machine"]
    parts = [f"{taken['date']}, {on['cores']} cores, {on['memory']}, {on['kernel']}, PostgreSQL {on['postgresql']}"]
    parts += [f"{name} {version}" for name, version in taken["versions"].items()]
    if taken["scale"] != 1:
        parts.append(f"at {taken['scale']:g} of the usual amounts")
    return ", ".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cell.strip().replace('|', chr(92) + '|') for cell in row)} |"
