"""Commands that ask the API, against a running one."""

import asyncio
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from ordinaut.states import Origin
from ordinaut.store.pool import open_pool
from ordinaut_cli.app import app
from tests import servers
from tests.cluster.processes import free_port
from tests.declaring import declare, declare_at, pipeline, task, tool
from tests.running import Processes, processes

pytestmark = pytest.mark.integration

HELLO: dict[str, Any] = {"id": "greet", "uses": "std.log", "with": {"message": "hello ${params.who || 'you'}"}}
FAIL: dict[str, Any] = {"id": "break", "uses": "std.fail", "with": {"message": "no luck"}}


def declare_from_elsewhere(database: str, document: dict[str, Any]) -> None:
    async def run() -> None:
        async with open_pool(database, application="declare", size=1) as pool:
            await declare(pool, document, origin=Origin.KUBERNETES)

    asyncio.run(run())


class Cli:
    """The command line, told where the API is by its environment."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, *arguments: str | Path) -> Result:
        return CliRunner(env={"ORDINAUT_API_URL": self.url}).invoke(app, [str(one) for one in arguments])

    def json(self, *arguments: str | Path) -> Any:
        result = self(*arguments, "-o", "json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def started(database: str, valkey: str) -> Iterator[Processes]:
    with processes(database=database, redis=valkey) as starter:
        yield starter


@pytest.fixture
def cli(started: Processes) -> Cli:
    port = free_port()
    started.start("api", api_port=port)
    return Cli(f"http://127.0.0.1:{port}")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    documents = [
        task(
            "hello", pipelineRef={"name": "hello"}, schedules=[{"cron": "30 8 * * 1-5", "timeZone": "Europe/Chisinau"}]
        ),
        pipeline("hello", HELLO),
        tool("calendar", "http://127.0.0.1:9"),
    ]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(documents))
    return tmp_path


def test_apply_declares_everything_in_the_order_of_reference_and_says_what_changed(cli: Cli, files: Path) -> None:
    first = cli("apply", "-f", files)
    assert first.exit_code == 0, first.output
    assert first.stdout.splitlines() == [
        "Tool default/calendar created",
        "Pipeline default/hello created",
        "Task default/hello created",
    ]
    text = (files / "all.yaml").read_text().replace("30 8 * * 1-5", "0 9 * * 1-5")
    (files / "all.yaml").write_text(text)
    assert [line.split()[-1] for line in cli("apply", "-f", files).stdout.splitlines()] == [
        "unchanged",
        "unchanged",
        "configured",
    ]
    assert cli.json("get", "task", "hello")["status"]["schedule"] == "0 9 * * 1-5"


def test_apply_sends_nothing_while_there_is_a_mistake_anywhere(cli: Cli, files: Path) -> None:
    (files / "wrong.yaml").write_text(
        yaml.safe_dump(task("wrong", {"id": "a", "uses": "std.log", "with": {"m": "${"}}))
    )
    result = cli("apply", "-f", files)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"{files / 'wrong.yaml'}:")
    assert cli.json("get", "tasks") == {"items": []}


def test_apply_names_the_owner_of_a_name_that_is_taken(cli: Cli, files: Path, database: str) -> None:
    declare_from_elsewhere(database, task("hello", HELLO))
    result = cli("apply", "-f", files)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{files / 'all.yaml'}:")
    assert "Task default/hello belongs to the Kubernetes resource" in result.stderr


def test_tables_show_what_there_is(cli: Cli, files: Path) -> None:
    cli("apply", "-f", files)
    tasks = cli("get", "tasks").stdout.splitlines()
    assert tasks[0].split() == ["NAME", "SCHEDULE", "TIMEZONE", "SUSPEND", "NEXT", "LAST", "PHASE", "AGE"]
    assert re.match(r"hello +30 8 \* \* 1-5 +Europe/Chisinau +false +in \d+[dhm]\S* +- +Scheduled +\d+s", tasks[1])
    assert cli("get", "otask", "hello").stdout.splitlines()[1].startswith("hello ")
    assert re.match(r"hello +1 +std\.log +true +API", cli("get", "pipelines").stdout.splitlines()[1])
    assert re.match(r"calendar +POST +http://127\.0\.0\.1:9/calendar +true", cli("get", "tools").stdout.splitlines()[1])
    assert (cli("get", "runs").stdout, cli("get", "runs").stderr) == ("", "no runs in this namespace\n")
    assert cli("get", "tasks", "-n", "elsewhere").stderr == "no tasks in this namespace\n"
    assert yaml.safe_load(cli("get", "tasks", "-o", "yaml").stdout)["items"][0]["kind"] == "Task"


def test_what_does_not_exist_is_a_failure_of_one_line(cli: Cli) -> None:
    for arguments in (
        ["get", "task", "nobody"],
        ["describe", "task", "nobody"],
        ["fires", "nobody"],
        ["run", "nobody"],
    ):
        result = cli(*arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "Task default/nobody does not exist.\n"
    assert cli("get", "task", "../runs").exit_code != 0
    assert cli("cancel", "nonsense").exit_code == 2


def test_a_run_is_followed_to_its_end(cli: Cli, files: Path, started: Processes) -> None:
    cli("apply", "-f", files)
    started.start("worker")
    result = cli("run", "hello", "--wait", "-p", "who=Ana")
    assert result.exit_code == 0, result.output
    created, step, over = result.stdout.splitlines()
    run = created.split()[1]
    assert re.fullmatch(r"  ✓ greet +\d+ms", step)
    assert over == f"run {run} Succeeded"

    listed = cli("runs", "--task", "hello", "--phase", "Succeeded").stdout.splitlines()
    assert listed[1].startswith(run)
    described = cli("describe", "run", run).stdout
    assert re.search(r"^Phase +Succeeded$", described, re.MULTILINE)
    assert re.search(r"^greet +Succeeded +1 ", described, re.MULTILINE)
    assert '{"who":"Ana"}' in described
    task_described = cli("describe", "task", "hello").stdout
    assert run in task_described
    assert "Europe/Chisinau" in task_described
    assert cli.json("describe", "task", "hello")["runs"][0]["metadata"]["name"] == run
    again = cli("cancel", run)
    assert again.exit_code == 1
    assert "Succeeded" in again.stderr


def test_a_run_that_fails_fails_the_command_that_follows_it(cli: Cli, database: str, started: Processes) -> None:
    declare_at(database, task("unlucky", HELLO, FAIL))
    started.start("worker")
    result = cli("run", "unlucky", "--wait")
    assert result.exit_code == 1
    assert re.search(r"^  ✗ break +Failed +.*no luck", result.stdout, re.MULTILINE)
    assert re.fullmatch(r"run \S+ Failed: step break: .*no luck\n", result.stderr)
    programs = cli("run", "unlucky", "--wait", "-o", "json")
    assert programs.exit_code == 1
    assert json.loads(programs.stdout)["status"]["phase"] == "Failed"


def test_without_waiting_a_run_is_created_and_can_be_cancelled(cli: Cli, files: Path) -> None:
    cli("apply", "-f", files)
    run = cli("run", "hello").stdout.split()[1]
    assert cli.json("get", "run", run)["status"]["phase"] == "Pending"
    assert cli("cancel", run).stdout == f"run {run} Cancelled\n"
    assert cli.json("runs", "--phase", "Cancelled")["items"][0]["metadata"]["name"] == run


def test_preview_and_ledger_of_a_task(cli: Cli, files: Path) -> None:
    cli("apply", "-f", files)
    assert len(cli.json("preview", "hello", "-c", "3")["items"]) == 3
    assert len(cli("preview", "hello", "-c", "3").stdout.splitlines()) == 4
    assert cli.json("fires", "hello") == {"items": []}
    assert cli("fires", "hello").stderr == "no nominal time has come yet\n"


def test_lists_of_many_pages_are_read_to_the_end(cli: Cli, database: str) -> None:
    declare_at(database, *(task(f"task-{number:03}", HELLO) for number in range(501)))
    assert len(cli.json("get", "tasks")["items"]) == 501


def test_migrate_applies_once(postgres_url: str) -> None:
    with servers.database(postgres_url, template="template1") as empty:
        runner = CliRunner(env={"DATABASE_URL": empty})
        assert runner.invoke(app, ["migrate"]).stdout.startswith("applied 0001_")
        assert runner.invoke(app, ["migrate"]).stdout == "the database is up to date\n"
        assert json.loads(runner.invoke(app, ["migrate", "-o", "json"]).stdout) == {"applied": []}


def test_the_api_process_ends_with_status_0(started: Processes) -> None:
    api = started.start("api", api_port=free_port())
    api.send(signal.SIGTERM)
    assert api.process.wait(20) == 0, api.log()
    assert "Traceback" not in api.log()
    assert "no authentication" in api.log()


def test_an_address_that_others_can_reach_is_refused(started: Processes) -> None:
    api = started.start("api", wait=False, api_host="0.0.0.0")
    assert api.process.wait(30) == 2
    assert "Traceback" not in api.log()
