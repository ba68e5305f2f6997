"""The runbooks: every command and query in them works."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest
import typer
import yaml

from ordinaut.states import ENDED_RUN_PHASES
from ordinaut_cli.app import app as command_line
from tests.monitoring.conftest import Installation
from tests.monitoring.queries import labels_of, mistakes
from tests.monitoring.scraping import ROOT
from tests.monitoring.test_alerts import check

pytestmark = pytest.mark.xdist_group("monitoring")

PAGES = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
ALERTS = [page for page in PAGES if page.stem != "README"]
PARTS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "How this alert was tested"]
COMPONENTS = {"operator", "worker", "api", "migrate"}


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(page), flags=re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each command, in blocks and in sentences, each part of a pipe by itself."""
    inline = [one for one in re.findall(r"`([^`\n]+)`", text_of(page)) if re.match(r"(kubectl|ordinaut|helm) ", one)]
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    for line in lines + inline:
        for part in line.split(" | "):
            yield shlex.split(part)


@pytest.mark.parametrize("page", ALERTS, ids=lambda page: page.stem)
def test_a_page_has_its_parts_in_their_order(page: Path) -> None:
    assert re.findall(r"^## (.*)$", text_of(page), flags=re.MULTILINE) == PARTS
    assert text_of(page).startswith(f"# {page.stem}\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_something_to_type(page: Path) -> None:
    assert blocks(page, "sh")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_files_exist(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text_of(page)):
        assert (page.parent / target).exists(), target
    for file in re.findall(r"`(tests/[\w./]+)`", text_of(page)):
        assert (ROOT / file).exists(), file


def test_every_query_of_the_database_works(database: str) -> None:
    asked = 0
    with psycopg.connect(database, autocommit=True) as connection:
        for page in PAGES:
            for block in blocks(page, "sql"):
                for statement in filter(str.strip, block.split(";")):
                    connection.execute(statement.encode())
                    asked += 1
    assert asked > 15


def test_every_query_of_prometheus_is_valid(promtool: Path, tmp_path: Path) -> None:
    queries = [line for page in PAGES for block in blocks(page, "promql") for line in block.splitlines()]
    recorded = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "runbooks", "rules": recorded}]}), encoding="utf-8")

    assert f"SUCCESS: {len(queries)} rules found" in check(promtool, "check", "rules", "--lint=none", file)


def test_every_query_of_prometheus_asks_for_what_is_there(installation: Installation) -> None:
    there = labels_of(installation.worked.values())
    there["ordinaut_runs_total"]["phase"] |= {phase.value for phase in ENDED_RUN_PHASES}
    queries = [line for page in PAGES for block in blocks(page, "promql") for line in block.splitlines()]

    assert [one for query in queries for one in mistakes(query, there)] == []


def known_commands() -> dict[str, set[str]]:
    """Return the commands of the command line with their options."""
    group: Any = typer.main.get_command(command_line)
    context = click.Context(group)
    found = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        found[name] = {option for param in command.params for option in param.opts}
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_exists_with_its_options(page: Path) -> None:
    known = known_commands()
    for words in commands(page):
        ours = words[1:] if words[:2] == ["kubectl", "ordinaut"] else words
        if ours[0] != "ordinaut":
            continue
        assert ours[1] in known, words
        options = {word for word in ours[2:] if word.startswith("-")}
        assert options <= known[ours[1]], words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_kubectl_asks_for_objects_of_the_chart(page: Path) -> None:
    for words in commands(page):
        if words[0] != "kubectl" or words[1] == "ordinaut":
            continue
        for label, value in re.findall(r"app\.kubernetes\.io/([\w-]+)=(\S+)", " ".join(words)):
            assert (label, value) == ("part-of", "ordinaut") or (label == "component" and value in COMPONENTS), words
        names = [word for word in words if word.startswith("ordinaut-")]
        assert set(names) <= {f"ordinaut-{one}" for one in COMPONENTS}, words
