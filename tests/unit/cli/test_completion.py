"""What kubectl gets to offer for an unfinished `kubectl ordinaut …`."""

import subprocess
import sys

import pytest
import typer

from ordinaut_cli.app import app
from ordinaut_cli.completion import answer


def offered(text: str) -> list[str]:
    return [line.partition("\t")[0] for line in answer(typer.main.get_command(app), text.split(" "))]


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("stat", ["status", ":4"]),
        ("config use", ["use-context", ":4"]),
        ("get pi", ["pipelines", "pipeline", ":4"]),
        ("get tasks x", [":4"]),
        ("status -o js", ["json", ":4"]),
        ("runs --phase Pa", ["Parked", ":4"]),
        ("runs --namespace ", [":4"]),
        ("apply -f ", [":0"]),
        ("dev ", [":0"]),
        ("why --name", ["--namespace", ":4"]),
        ("nonsense ", [":4"]),
    ],
)
def test_candidates_and_directive(text: str, candidates: list[str]) -> None:
    found = offered(text)
    assert found == candidates or (text == "nonsense " and found[-1] == ":4")


def test_commands_come_with_what_they_do() -> None:
    lines = list(answer(typer.main.get_command(app), [""]))
    assert "status\tShow the health of the whole installation." in lines
    assert list(answer(typer.main.get_command(app), [])) == lines


def test_the_program_prints_what_kubectl_reads() -> None:
    command = [sys.executable, "-c", "from ordinaut_cli.completion import main; main()", "snoo"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == ":4"
    assert done.stdout.startswith("snooze\t")
