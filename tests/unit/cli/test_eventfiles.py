"""Events from files: forms, places, parts, and mistakes."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from ordinaut_cli.app import app
from ordinaut_cli.errors import CommandError
from ordinaut_cli.eventfiles import Given, portions, read

PLAIN = {"type": "mail.received"}
CLOUD = {"specversion": "1.0", "id": "1", "source": "/x", "type": "mail.received"}


def given(folder: Path, text: str, name: str = "events.json") -> tuple[list[Given], str]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read(str(path), option="--file"), str(path)


def test_an_object_a_list_and_lines_are_read_with_their_places(tmp_path: Path) -> None:
    one, name = given(tmp_path, orjson.dumps(PLAIN, option=orjson.OPT_INDENT_2).decode())
    assert one == [Given(PLAIN, name)]
    several, name = given(tmp_path, orjson.dumps([PLAIN, CLOUD]).decode())
    assert several == [Given(PLAIN, f"{name}[0]"), Given(CLOUD, f"{name}[1]")]
    items, name = given(tmp_path, orjson.dumps({"items": [PLAIN]}).decode())
    assert items == [Given(PLAIN, f"{name}: items[0]")]
    line, space = orjson.dumps(PLAIN).decode(), "\u2028"
    lines, name = given(tmp_path, f'{line}\n\n{{"type": "a.b", "data": "{space}"}}\r\n', "events.jsonl")
    assert lines == [Given(PLAIN, f"{name}:1"), Given({"type": "a.b", "data": space}, f"{name}:3")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "events.json: not JSON|no event in there"),
        ("[]", "events.json: no event in there"),
        ("7", "events.json: not an event"),
        ("[7]", r"events.json\[0\]: not an event"),
        ('{"items": [7]}', r"events.json: items\[0\]: not an event"),
        ('{"items": []}', "events.json: no event in there"),
        ("{\n", "events.json: not JSON: .*line 2"),
        ('{"type": "a.b"}\n{', "events.json:2: not JSON"),
        ('{"type": "a.b"}\n7', "events.json:2: not an event"),
    ],
)
def test_what_holds_no_events_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(CommandError, match=f"--file: .*({why})") as caught:
        given(tmp_path, text)
    assert caught.value.exit_code == 2


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        read(str(tmp_path / "missing"), option="--file")
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(CommandError, match="not UTF-8"):
        read(str(tmp_path / "bytes"), option="--file")


def sizes(*events: dict[str, Any]) -> list[int]:
    parts = list(portions(Given(event, "x") for event in events))
    assert [one.event for part in parts for one in part] == list(events)
    return [len(part) for part in parts]


def test_events_are_sent_in_their_order_in_parts_of_one_form_that_are_not_too_large() -> None:
    assert sizes() == []
    assert sizes(*[PLAIN] * 250) == [100, 100, 50]
    assert sizes(PLAIN, CLOUD, CLOUD, PLAIN) == [1, 2, 1]
    large = {**PLAIN, "data": "x" * 150_000}
    assert sizes(PLAIN, large, large, PLAIN) == [2, 2]
    assert sizes({**PLAIN, "data": "x" * 300_000}, PLAIN) == [1, 1]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "give the TYPE of the event"),
        (["a.b", "--file", "x"], "not both"),
        (["--id", "7", "--file", "x"], "not both"),
        (["a.b", "--data", "@missing"], "--data: missing: cannot read it"),
        (["a.b", "--data", "Ana"], "a text needs its own quotes"),
    ],
)
@pytest.mark.parametrize("command", [["publish"], ["events", "publish"]], ids=["publish", "events-publish"])
def test_what_cannot_be_meant_is_refused_before_anybody_is_asked(
    command: list[str], arguments: list[str], why: str
) -> None:
    result = CliRunner().invoke(app, [*command, *arguments])
    assert result.exit_code == 2
    assert why in result.stderr
