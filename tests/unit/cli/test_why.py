"""What `ordinaut why` makes of what the API says."""

import json
from datetime import timedelta
from typing import Any

import httpx2
import pytest
import yaml
from typer.testing import CliRunner

from ordinaut.shapes import Why
from ordinaut.why import of_run, of_task
from ordinaut_cli import asking
from ordinaut_cli.app import app
from ordinaut_cli.commands.why import parse_subject, title, told
from ordinaut_cli.errors import CommandError
from ordinaut_cli.findings import Weight
from tests.unit.why.facts import NOW, RUN, ago, over, run, task

ID = "01980c1f-6a3e-7c44-9d55-0a6b3f1e2d70"


def sent(answer: Why) -> dict[str, Any]:
    """Return an answer as the API sends it."""
    return answer.model_dump(mode="json", by_alias=True, exclude_none=True)


PAUSED = sent(of_task(task(paused_at=ago(hours=2), paused_by="ada")))


def test_times_are_told_with_how_far_they_are() -> None:
    paused = next(told(PAUSED, program="kubectl ordinaut"))
    assert (paused.weight, paused.text, paused.command) == (
        Weight.BAD,
        "it is paused since 2026-11-23T07:00:00Z (2h ago) by ada: its schedules do not fire",
        "kubectl ordinaut resume briefing -n default",
    )
    due = sent(of_task(task(next_fire_at=NOW + timedelta(minutes=30))))
    assert next(told(due, program="ordinaut")).text == "its next time is 2026-11-23T09:30:00Z (in 30m)"


def test_what_the_command_line_can_not_do_is_told_in_words() -> None:
    suspended = sent(of_task(task(spec={"suspend": True}, origin="Kubernetes")))
    found = next(told(suspended, program="ordinaut"))
    assert found.command == "set spec.suspend to false: kubectl -n default edit otask briefing"


def test_a_command_that_does_not_say_what_to_do_comes_with_words() -> None:
    parked = sent(of_run(over("Parked", "MaxDeliveriesExceeded")))
    assert next(told(parked, program="ordinaut")).command == (
        f"ordinaut unpark {RUN} -n default   # look for workers that are killed (memory, node), then release it"
    )


def test_the_title_names_the_task_of_a_run() -> None:
    assert title(sent(of_run(run()))) == f"Run {RUN} of task default/briefing: Pending"
    assert title(PAUSED) == "Task default/briefing: Paused"


def test_a_level_that_a_newer_api_has_is_a_note() -> None:
    newer = {**PAUSED, "because": [{"reason": "New", "level": "Newer", "message": "it is new"}]}
    assert [one.weight for one in told(newer, program="ordinaut")] == [Weight.NOTE]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["brief"], ("task", None, "brief")),
        (["team-a/brief"], ("task", "team-a", "brief")),
        (["task", "brief"], ("task", None, "brief")),
        (["run", "0198"], ("run", None, "0198")),
        (["run", "team-a/0198"], ("run", "team-a", "0198")),
        (["run"], ("task", None, "run")),
        ([ID], ("run", None, ID)),
        ([f"team-a/{ID}"], ("run", "team-a", ID)),
        (["task", ID], ("task", None, ID)),
    ],
)
def test_what_is_meant(words: list[str], meant: tuple[str, str | None, str]) -> None:
    assert parse_subject(words) == meant


def test_too_many_words_are_wrong() -> None:
    with pytest.raises(CommandError, match="write TASK, RUN, NAMESPACE/TASK, or run RUN"):
        parse_subject(["a", "b"])


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_programs_get_what_the_api_says_and_nothing_else(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = {**PAUSED, "ofANewerApi": {"kept": True}}

    class Transport(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            assert request.url.path == "/v1/namespaces/default/tasks/briefing/why"
            return httpx2.Response(200, json=newer)

    monkeypatch.setattr(asking, "_way_to", lambda target, **_: (target, "http://127.0.0.1:1", Transport()))
    result = CliRunner().invoke(app, ["why", "briefing", "-o", output])
    assert result.exit_code == 0, result.output
    read = json.loads if output == "json" else yaml.safe_load
    assert read(result.stdout) == newer
