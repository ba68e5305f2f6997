"""Hostile schedules (attacks 7, 8 and 9) by the ways in that need no API: refused in words, or bounded, at once."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
import typer
import yaml
from click.testing import CliRunner, Result

from ordinaut.declaration import examine
from ordinaut.errors import Invalid
from ordinaut_cli import foresight
from ordinaut_cli.app import app
from ordinaut_cli.errors import CommandError
from tests.declaring import task
from tests.hostile import COSTLY_SCHEDULES, WRONG_CRONS, WRONG_SCHEDULES, WRONG_ZONES
from tests.timing import at_most
from tests.unit.cli.test_preview import FLAG_OF, flags_of

NOW = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)
PROGRAM = typer.main.get_command(app)
BUDGET = 0.02
"""Seconds of CPU that no schedule may cost."""

WRONG: list[tuple[str, dict[str, Any]]] = [
    *(("cron", {"cron": expression}) for expression in WRONG_CRONS),
    *(("timeZone", {"cron": "@daily", "timeZone": zone}) for zone in WRONG_ZONES),
    *(("", schedule) for schedule in WRONG_SCHEDULES),
]
"""Each with the field that is to blame; none where it may be one of several."""


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(PROGRAM, arguments, input=given)


def document(schedule: dict[str, Any], name: str = "hostile") -> dict[str, Any]:
    return task(name, {"id": "say", "uses": "std.log", "with": {"message": "hello"}}, schedules=[schedule])


def cost(action: Callable[[], object]) -> float:
    """Return the seconds of CPU that an action takes, the best of three."""

    def once() -> float:
        before = time.process_time()
        with suppress(CommandError, Invalid):
            action()
        return time.process_time() - before

    return min(once() for _ in range(3))


def flagged() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield those that flags can give."""
    half_a_character = "\ud800 * * * *"  # what Python makes of an argument that is not UTF-8
    yield "cron", {"cron": half_a_character}
    yield from (one for one in WRONG if None not in one[1].get("exdates", ()))


def test_the_model_refuses_them_at_once(subtests: pytest.Subtests) -> None:
    for field, schedule in WRONG:
        with subtests.test(ascii(schedule)[:60]):
            with pytest.raises(Invalid) as caught:
                examine.check(document(schedule))
            assert any(one.field.startswith(f"spec.schedules[0].{field}".rstrip(".")) for one in caught.value.errors)
            assert cost(lambda given=schedule: examine.check(document(given))) < at_most(BUDGET)  # type: ignore[misc]


def test_validate_tells_each_of_them_with_its_line() -> None:
    wrong = [one for one in WRONG if len(one[1].get("exdates", ())) <= 1000]  # YAML takes its time for more
    documents = [document(schedule, f"hostile-{number}") for number, (_, schedule) in enumerate(wrong)]
    result = run("validate", "-f", "-", "-o", "json", given=yaml.safe_dump_all(documents))
    assert result.exit_code == 1, result.stderr
    items = json.loads(result.stdout)["items"]
    assert [item["valid"] for item in items] == [False] * len(wrong)
    for (field, _), item in zip(wrong, items, strict=True):
        assert any(error["field"].startswith(f"spec.schedules[0].{field}".rstrip(".")) for error in item["errors"])
        assert all(error["line"] > 0 for error in item["errors"])


def test_preview_refuses_them_by_the_flag_in_few_words(subtests: pytest.Subtests) -> None:
    for field, schedule in flagged():
        with subtests.test(ascii(schedule)[:60]):
            result = run("preview", *flags_of(schedule))
            assert (result.exit_code, result.stdout) == (2, "")
            lines = result.stderr.splitlines()
            assert all(line.startswith(FLAG_OF.get(field, "--")) and line.isprintable() for line in lines), lines[:3]
            assert len(result.stderr) < 10_000
            given = {FLAG_OF[name]: value for name, value in schedule.items()}
            assert cost(lambda given=given: foresight.by_flags(given, anchor=NOW)) < at_most(BUDGET)  # type: ignore[misc]


def test_preview_bounds_what_costs(subtests: pytest.Subtests) -> None:
    for schedule in COSTLY_SCHEDULES:
        with subtests.test(ascii(schedule)[:60]):
            result = run("preview", *flags_of(schedule), "-c", "100", "-o", "json")
            assert result.exit_code in {0, 2}
            assert result.exception is None or isinstance(result.exception, SystemExit)
            given = {FLAG_OF[name]: value for name, value in schedule.items()}
            took = cost(lambda given=given: foresight.by_flags(given, anchor=NOW).coming(after=NOW, count=1))  # type: ignore[misc]
            assert took < at_most(BUDGET)
