"""What a run did, told once each, whatever is seen of it in between."""

from typing import Any

from ordinaut_cli import progress
from ordinaut_cli.progress import Progress

AT = "2026-11-23T09:00:00.000Z"


def run(phase: str, *steps: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "01980000-0000-7000-8000-000000000001", "creationTimestamp": AT},
        "spec": {"task": "brief", "trigger": "schedule", "scheduledTime": "2026-11-23T09:00:00Z"},
        "status": {"phase": phase, "attempt": 1, "steps": list(steps), **status},
    }


def step(id_: str, phase: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "phase": phase, "attempt": 1, "startTime": AT, "completionTime": AT, **more}


def texts(told: Progress, seen: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one.step, one.text) for one in told.news(seen)]


def test_each_thing_is_told_once() -> None:
    told = Progress({"say": "std.log"})
    begin = ("", "run of brief, made by schedule for 2026-11-23T09:00:00Z")
    assert texts(told, run("Pending")) == [begin]
    waiting = step("call", "Waiting", error="status 503")
    said = step("say", "Succeeded", output={"message": "hello", "more": 1})
    assert texts(told, run("Running", said, step("call", "Running"))) == [("say", "hello")]
    assert texts(told, run("Waiting", said, waiting)) == [("call", "try 1 failed: status 503")]
    assert texts(told, run("Waiting", said, waiting)) == []
    failed = step("call", "Failed", attempt=2, error="status 500")
    over = run("Failed", said, failed, startTime=AT, completionTime=AT, reason="StepFailed", error="status 500")
    assert texts(told, over) == [("call", "status 500"), ("", "run Failed after 0ms: StepFailed: status 500")]


def test_items_of_a_list_are_told_apart() -> None:
    told = Progress({})
    steps = [step("each", "Succeeded", index=n, output=n) for n in (1, 2)]
    assert [(one.index, one.text) for one in told.news(run("Running", *steps)) if one.step] == [(1, "1"), (2, "2")]


def test_long_outputs_are_cut_and_messages_are_not() -> None:
    long = "x" * 300
    told = Progress({"say": "std.log"})
    seen = run("Running", step("say", "Succeeded", output={"message": long}), step("call", "Succeeded", output=[long]))
    say, call = [one.text for one in told.news(seen) if one.step]
    assert say == long
    assert len(call) == 200
    assert call.endswith("…")


def test_lines_hold_no_terminal_codes_of_others() -> None:
    (entry,) = [one for one in Progress({}).news(run("Running", step("s", "Failed", error="\x1b[2Jgone"))) if one.step]
    assert progress.line(entry, named=True).plain.endswith("000000000001  ✗ s              \\x1b[2Jgone")


def test_the_tools_of_steps_are_found() -> None:
    steps = [{"id": "a", "uses": "std.log"}, {"id": "b", "sleep": "1s"}]
    assert progress.tools_of({"steps": steps}) == {"a": "std.log"}
    assert progress.tools_of({}) == {}
