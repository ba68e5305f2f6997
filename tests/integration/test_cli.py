"""Commands that ask the API, against a running one."""

import asyncio
import json
import re
import shlex
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
import yaml
from typer.testing import CliRunner, Result

from ordinaut.states import Origin
from ordinaut.store.pool import open_pool
from ordinaut_cli.app import app
from tests import servers
from tests.cluster.processes import free_port
from tests.declaring import declare, declare_at, hook, pipeline, task, tool
from tests.running import Processes, processes, until
from tests.toolserver import ToolServer

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

    def __init__(self, url: str | None, **environment: str) -> None:
        self.environment = environment | ({"ORDINAUT_API_URL": url} if url else {})

    def __call__(self, *arguments: str | Path, given: str | None = None) -> Result:
        return CliRunner(env=self.environment).invoke(app, [str(one) for one in arguments], input=given)

    def json(self, *arguments: str | Path) -> Any:
        result = self(*arguments, "-o", "json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture(autouse=True)
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command line finds its contexts; there are none yet."""
    file = tmp_path / "config" / "config.yaml"
    monkeypatch.setenv("ORDINAUT_CONFIG", str(file))
    return file


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
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp_path = tmp_path_factory.mktemp("files")
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


def test_hooks_are_applied_shown_and_deleted_like_other_objects(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "hook.yaml"
    file.write_text(yaml.safe_dump(hook("github", "github.>", style="GitHub")))
    assert cli("apply", "-f", file).stdout == "Hook default/github created\n"
    assert re.match(r"github +github\.> +GitHub +true +API", cli("get", "hooks").stdout.splitlines()[1])
    assert cli.json("get", "ohook", "github")["spec"]["topic"] == "github.>"
    assert cli("delete", "hook", "github").stdout == "Hook default/github deleted\n"
    assert cli("get", "hooks").stderr == "no hooks in this namespace\n"


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
        (line,) = result.stderr.splitlines()
        assert "Task default/nobody" in line
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


def test_what_became_of_events_is_listed_and_a_run_shows_the_event_that_made_it(cli: Cli, database: str) -> None:
    declare_at(database, task("listener", HELLO, triggers=[{"topic": "mail.received"}]))
    nothing = cli("fires", "listener", "--events")
    assert (nothing.stdout, nothing.stderr) == ("", "no event has matched a trigger yet\n")
    run = cli.json("run", "listener")["metadata"]["name"]
    event = {"specversion": "1.0", "id": "m-7", "source": "/mail", "type": "mail.received"}
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "UPDATE ordinaut.run SET trigger = 'event', hops = 2, event = %s",
            [json.dumps([event, {**event, "id": "m-8"}])],
        )
        connection.execute(
            "INSERT INTO ordinaut.event_fire"
            " (task_id, event_key, position, place, event_id, event_type, trigger, outcome, reason, run_id)"
            " SELECT task_id, gen_random_uuid(), x.place, 0, x.id, 'mail.received', 0, x.outcome, x.reason, x.run"
            " FROM ordinaut.task, (VALUES (1, 'm-8', 'Fired', NULL, %s::uuid), (2, 'm-9', 'Skipped', 'Paused', NULL))"
            " AS x (place, id, outcome, reason, run)",
            [run],
        )

    heading, newest, oldest = cli("fires", "listener", "--events").stdout.splitlines()
    assert heading.split() == ["EVENT", "TYPE", "DECIDED", "OUTCOME", "REASON", "RUN"]
    assert re.match(r"m-9 +mail\.received +\S.* Skipped +Paused +-", newest)
    assert re.match(rf"m-8 +mail\.received +\S.* Fired +- +{run}", oldest)
    described = cli("describe", "task", "listener").stdout
    assert re.search(r"^Schedule +on mail\.received$", described, re.MULTILINE)
    assert re.search(r"^Ledger of events$", described, re.MULTILINE)
    assert newest.split()[0] in described
    shown = cli("describe", "run", run).stdout
    assert re.search(r"^Event +2 events, the last one mail\.received m-8 from /mail$", shown, re.MULTILINE)
    assert re.search(r"^Hops +2$", shown, re.MULTILINE)


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
    found = cli.json("preview", "hello", "-c", "3")
    assert (found["task"], len(found["fires"])) == ("hello", 3)
    table = cli("preview", "hello", "-c", "3").stdout
    assert len(table.splitlines()) == 4
    assert "LOCAL (Europe/Chisinau)" in table
    assert " 08:30:00 " in table.splitlines()[1]
    assert cli.json("preview", "hello", "-c", "2", "--after", found["fires"][0])["fires"] == found["fires"][1:]
    assert cli.json("fires", "hello") == {"items": []}
    assert cli("fires", "hello").stderr == "no nominal time has come yet\n"


def test_a_calendar_of_all_tasks(cli: Cli, database: str) -> None:
    hourly = {"cron": "0 * * * *"}
    declare_at(
        database,
        *(task(name, HELLO, schedules=[hourly]) for name in ("hourly", "paused", "snoozed")),
        task("every", HELLO, schedules=[{"interval": "6h"}]),
        *(task(f"task-{number:03}", HELLO) for number in range(500)),
    )
    cli("pause", "paused")
    cli("snooze", "snoozed", "--for", "5h")
    found = cli.json("calendar", "--days", "1")
    tasks = {one["task"]: one for one in found["tasks"]}
    assert len(tasks) == 504
    assert len(tasks["hourly"]["fires"]) == 24
    assert tasks["every"]["fires"] == cli.json("preview", "every", "-c", str(len(tasks["every"]["fires"])))["fires"]
    assert (
        tasks["snoozed"]["fires"] == cli.json("preview", "snoozed", "-c", str(len(tasks["snoozed"]["fires"])))["fires"]
    )
    assert "local snoozed it until " in tasks["snoozed"]["note"]
    assert tasks["paused"]["fires"] == []
    assert tasks["paused"]["note"] == "local paused it; resume it through the API"
    together = [one["time"] for one in found["collisions"] if {"hourly", "snoozed"} <= {*one["tasks"]}]
    assert together == [time for time in tasks["snoozed"]["fires"] if time in tasks["hourly"]["fires"]]
    drawn = cli("calendar", "--days", "1", "--tz", "Europe/Chisinau").stdout
    assert " in Europe/Chisinau, a column is " in drawn
    assert "hourly, snoozed" in drawn
    assert cli("calendar", "-n", "empty").stderr == "no tasks in this namespace\n"


def test_a_task_that_does_not_start_at_once_says_so(cli: Cli, database: str) -> None:
    schedule = {"cron": "0 0 1 1 *"}
    declare_at(database, task("calm", HELLO, schedules=[schedule], jitter="30s", concurrencyPolicy="Queue"))
    described = cli("describe", "task", "calm").stdout
    assert re.search(r"^Jitter +up to 30s$", described, re.MULTILINE)
    assert re.search(r"^Concurrency +Queue$", described, re.MULTILINE)
    assert cli("snooze", "calm", "--for", "2h").exit_code == 0
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE ordinaut.task_clock SET evaluated_at = evaluated_at - interval '366 days'")
    assert cli("resume", "calm").stdout == "task calm resumed; it runs now\n"


def test_lists_of_many_pages_are_read_to_the_end(cli: Cli, database: str) -> None:
    declare_at(database, *(task(f"task-{number:03}", HELLO) for number in range(501)))
    assert len(cli.json("get", "tasks")["items"]) == 501


def test_a_task_rests_and_goes_on(cli: Cli, files: Path) -> None:
    cli("apply", "-f", files)
    assert cli("pause", "hello").stdout == "task hello paused\n"
    assert cli.json("get", "task", "hello")["status"]["phase"] == "Paused"
    assert re.search(r"^Paused +since \S+ by local$", cli("describe", "task", "hello").stdout, re.MULTILINE)
    assert re.fullmatch(r"task hello resumed; next run in \S+\n", cli("resume", "hello").stdout)
    assert re.fullmatch(r"task hello snoozed until \S+\n", cli("snooze", "hello", "--for", "2h").stdout)
    assert cli("snooze", "hello", "--until", "2000-01-01T00:00:00Z").exit_code == 2
    for arguments in ([], ["--for", "2h", "--until", "2099-01-01T00:00:00Z"]):
        assert cli("snooze", "hello", *arguments).exit_code == 2


def test_objects_are_deleted_by_name_and_by_file(cli: Cli, files: Path) -> None:
    cli("apply", "-f", files)
    assert cli("delete", "task", "hello").stdout == "Task default/hello deleted\n"
    gone = cli("delete", "task", "hello")
    assert (gone.exit_code, gone.stdout) == (1, "")
    assert cli("delete", "task", "hello", "--ignore-not-found").stdout == "Task default/hello not found\n"
    assert cli("delete", "-f", files, "--ignore-not-found").stdout.splitlines() == [
        "Task default/hello not found",
        "Pipeline default/hello deleted",
        "Tool default/calendar deleted",
    ]
    assert cli.json("get", "pipelines") == cli.json("get", "tools") == {"items": []}
    for arguments in ([], ["task"], ["runs", "x"], ["task", "x", "-f", str(files)], ["task", ".."]):
        assert cli("delete", *arguments).exit_code == 2


def test_a_run_is_waited_for_and_tried_again(cli: Cli, database: str, started: Processes) -> None:
    declare_at(database, task("unlucky", HELLO, FAIL))
    run = cli.json("run", "unlucky")["metadata"]["name"]
    late = cli("wait", run, "--timeout", "0.2s")
    assert (late.exit_code, late.stderr) == (1, f"run {run} is not over after 0.2s; it goes on\n")
    assert cli("wait", run, "--timeout", "soon").exit_code == 2
    assert cli("retry", run).exit_code == 1
    started.start("worker")
    over = cli("wait", run, "--follow")
    assert over.exit_code == 1
    assert [line.split()[1] for line in over.stdout.splitlines()] == ["greet", "break"]
    again = cli("retry", run).stdout.split()[1]
    quiet = cli("wait", again)
    assert (quiet.exit_code, quiet.stdout) == (1, "")
    assert quiet.stderr.startswith(f"run {again} Failed: ")
    assert run in cli("describe", "run", again).stdout
    assert json.loads(cli("wait", again, "-o", "json").stdout)["status"]["phase"] == "Failed"


def test_poison_that_is_cured_goes_on_where_it_was_parked(
    cli: Cli, database: str, started: Processes, toolserver: ToolServer, tmp_path: Path
) -> None:
    tools = [tool(name, toolserver.url) for name in ("harmless", "poison")]
    steps = [{"id": name, "uses": name} for name in ("harmless", "poison")]
    declare_at(database, *tools, task("deadly", *steps))
    cured = toolserver.gate("poison")
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    started.start("operator", source="directory", directory=manifests, max_deliveries=2)
    run = cli.json("run", "deadly")["metadata"]["name"]
    for deaths in (1, 2):
        worker = started.start("worker", worker_name=f"w-{deaths}")
        until(lambda deaths=deaths: len(toolserver.calls("poison")) == deaths, what=worker.log)
        worker.kill()
        with psycopg.connect(database) as connection:
            connection.execute("UPDATE ordinaut.work_lease SET leased_until = now()")

    over = cli("wait", run)
    assert over.exit_code == 1
    assert over.stderr == (
        f"run {run} Parked: its workers were lost in each of 2 deliveries,"
        " the last, w-2, while step `poison` was under way\n"
    )
    assert run in cli("runs", "--phase", "Parked").stdout
    assert "w-2" in cli("describe", "run", run).stdout

    cured.set()
    assert cli("runs", "unpark", run).stdout == f"run {run} Pending\n"
    assert cli("unpark", run).exit_code == 1
    started.start("worker")
    assert cli("wait", run).stdout == f"run {run} Succeeded\n"
    assert len(toolserver.calls("harmless")) == 1
    assert len(toolserver.calls("poison")) == 3
    assert cli("runs", "--phase", "Parked").stdout == cli("runs", "--task", "nobody").stdout


def test_what_happened_can_be_published_and_read(cli: Cli, files: Path) -> None:
    cli("apply", "-f", files)
    assert re.fullmatch(
        r"event \S+ accepted\n",
        cli("publish", "mail.received", "--data", '{"from": "Ana"}', "--subject", "inbox").stdout,
    )
    assert cli("publish", "mail.received", "--data", "-", given="[1, 2]").exit_code == 0
    assert cli("publish", "mail.received", "--data", "Ana").exit_code == 2
    refused = cli("publish", "No Type")
    assert refused.exit_code == 2
    assert refused.stderr.startswith('type: Invalid value: "No Type"')
    data = files / "data.json"
    data.write_text("[7]")
    own = ("--id", "A234", "--source", "/mycontext")
    assert cli("events", "publish", "mail.received", "--data", f"@{data}", *own).exit_code == 0
    newest = json.loads(cli("events", "list", "--limit", "1", "-o", "json").stdout)["items"][0]
    assert (newest["id"], newest["source"], newest["data"]) == ("A234", "/mycontext", [7])
    assert cli("events", "--type", "of.nothing").stderr == "no events\n"
    audited = cli("audit", "--verb", "create").stdout.splitlines()
    assert audited[0].split() == ["AT", "ACTOR", "VERB", "OBJECT", "DECISION", "REQUEST"]
    assert audited[1].split()[-4:-1] == ["create", "events", "Allowed"]
    assert cli("whoami").stdout == "local:local\n"
    assert re.search(r"^tasks +1 +\d+$", cli("quota").stdout, re.MULTILINE)


def test_a_file_of_events_is_published_in_parts_and_mistakes_have_their_lines(cli: Cli, tmp_path: Path) -> None:
    lines = [json.dumps({"type": "a.b", "data": number}) for number in range(120)]
    lines.append(json.dumps({"specversion": "1.0", "id": "A234", "source": "/mycontext", "type": "a.c"}))
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(lines))
    told = cli("publish", "--file", file).stdout.splitlines()
    assert len(told) == 122
    assert told[-1] == "121 events accepted"
    found = json.loads(cli("events", "list", "--limit", "200", "-o", "json").stdout)["items"]
    assert [one.get("data") for one in found] == [None, *range(119, -1, -1)]
    assert found[0]["id"] == "A234"
    assert len(json.loads(cli("publish", "--file", "-", "-o", "json", given=lines[0]).stdout)["ids"]) == 1

    lines[110] = json.dumps({"type": "run.failed"})
    file.write_text("\n".join(lines))
    wrong = cli("publish", "--file", file)
    assert wrong.exit_code == 2
    assert len(wrong.stdout.splitlines()) == 100
    mistake, rest = wrong.stderr.splitlines()
    assert mistake.startswith(f'{file}:111: type: Invalid value: "run.failed": told by Ordinaut only; ')
    assert rest == f"the 100 events before {file}:101 are accepted; take them out to go on"


def test_verify_tells_which_times_are_not_accounted_for(cli: Cli, database: str) -> None:
    schedules = [{"interval": "1h", "start": "2026-01-01T00:00:00Z", "end": "2026-01-01T09:00:00Z"}]
    assert cli("verify").stderr == "no tasks in this namespace\n"
    declare_at(database, *(task(name, HELLO, schedules=schedules) for name in ("bad", "good")))
    execute(database, "UPDATE task_clock SET counted_from = '2025-12-31T12:00Z'")
    execute(
        database,
        "INSERT INTO fire (task_id, scheduled_at, outcome, reason) SELECT task_id, hour, 'Skipped', 'NotReady'"
        " FROM task, generate_series('2026-01-01T00:00Z', '2026-01-01T09:00Z', interval '1 h') AS hour",
    )
    good = cli("verify")
    assert good.exit_code == 0, good.output
    assert [line.split() for line in good.stdout.splitlines()] == [
        ["TASK", "NOMINAL", "FIRED", "SKIPPED", "PENDING", "SINCE", "EVENTS", "LAW"],
        ["bad", "10", "0", "10", "0", "2025-12-31T12:00:00.000Z", "-", "holds"],
        ["good", "10", "0", "10", "0", "2025-12-31T12:00:00.000Z", "-", "holds"],
        ["(all)", "20", "0", "20", "0", "holds"],
    ]
    assert cli.json("verify", "good")["holds"] is True

    execute(
        database,
        "DELETE FROM fire USING task t WHERE t.task_id = fire.task_id AND name = 'bad'"
        " AND scheduled_at < '2026-01-01T02:00Z'",
    )
    bad = cli("verify")
    assert bad.exit_code == 1
    assert [line.split()[-3:] for line in bad.stdout.splitlines()[1:4]] == [
        ["broken", "2", "times"],
        ["2025-12-31T12:00:00.000Z", "-", "holds"],
        ["broken", "2", "times"],
    ]
    assert bad.stdout.splitlines()[4:] == [
        f"bad: 2026-01-01T0{hour}:00:00Z is a nominal time, and the ledger has no line for it" for hour in (0, 1)
    ]
    one = cli("verify", "bad", "-o", "json")
    assert one.exit_code == 1
    found = json.loads(one.stdout)
    assert (found["holds"], found["totals"]["violated"], len(found["items"])) == (False, 2, 1)
    assert cli("verify", "good").exit_code == 0

    execute(database, "UPDATE task_clock SET tzdata = '1999z'")
    unknown = cli("verify", "good")
    assert unknown.exit_code == 2
    assert "1999z" in unknown.stdout
    assert cli("verify", "nobody").exit_code == 1


def execute(database: str, statement: str) -> None:
    async def run() -> None:
        async with open_pool(database, application="damage", size=1) as pool, pool.connection() as connection:
            await connection.execute(statement.encode())

    asyncio.run(run())


@dataclass(frozen=True)
class Guarded:
    """An api that asks for tokens, and the tokens of a viewer and an editor in the namespace team-a."""

    url: str
    viewer: str
    editor: str


@pytest.fixture
def guarded(started: Processes, tmp_path: Path) -> Guarded:
    made = [json.loads(cli_token(role)) for role in ("viewer", "editor")]
    file = tmp_path / "access.yaml"
    file.write_text(yaml.safe_dump({"tokens": [one["entry"] for one in made]}))
    port = free_port()
    started.start("api", api_port=port, authentication="tokens", access_file=file)
    return Guarded(f"http://127.0.0.1:{port}", *(one["token"] for one in made))


def cli_token(role: str) -> str:
    return CliRunner().invoke(app, ["token", f"the-{role}", "--role", role, "-n", "team-a", "-o", "json"]).stdout


def test_login_keeps_what_lets_one_in(guarded: Guarded, config_file: Path) -> None:
    cli = Cli(None)
    in_by = cli("login", guarded.url, "-n", "team-a", "--name", "here", given=f"{guarded.editor}\n")
    assert in_by.exit_code == 0, in_by.output
    assert in_by.stdout == f"logged in to {guarded.url} as tokens:the-editor; the current context is here\n"
    assert cli("whoami").stdout == "tokens:the-editor\n"
    assert cli("get", "tasks").exit_code == 0
    stored = config_file.parent / "tokens" / "here"
    assert stored.read_text().strip() == guarded.editor
    assert (stored.stat().st_mode & 0o777, config_file.stat().st_mode & 0o777) == (0o600, 0o600)
    assert guarded.editor not in config_file.read_text()

    (config_file.parent / "viewer").write_text(guarded.viewer)
    file = cli("login", guarded.url, "-n", "team-a", "--name", "file", "--token-file", config_file.parent / "viewer")
    assert file.exit_code == 0, file.output
    command = shlex.join(["cat", str(config_file.parent / "viewer")])
    run = cli("login", guarded.url, "-n", "team-a", "--name", "command", "--token-command", command)
    assert run.exit_code == 0, run.output
    assert cli("whoami").stdout == cli("whoami", "--context", "file").stdout == "tokens:the-viewer\n"
    assert cli("whoami", "--context", "here").stdout == "tokens:the-editor\n"
    assert Cli(None, ORDINAUT_TOKEN=guarded.editor)("whoami").stdout == "tokens:the-editor\n"

    assert cli("config", "delete-context", "here").exit_code == 0
    assert not stored.exists()
    assert (config_file.parent / "viewer").exists()


def test_login_saves_nothing_that_does_not_let_one_in(guarded: Guarded, config_file: Path) -> None:
    cli = Cli(None)
    for given in ("ordt_wrong", "", "two words"):
        refused = cli("login", guarded.url, given=given)
        assert refused.exit_code != 0
        assert refused.stdout == ""
        assert "ordt_wrong" not in refused.stderr
    assert not config_file.exists()
    assert cli("login", guarded.url, "--kubernetes", "--token-file", "f").exit_code == 2
    assert cli("login", "nonsense", given="").exit_code == 2


def test_kubectl_makes_the_tokens_of_a_service_account(
    guarded: Guarded, tmp_path: Path, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(
        '#!/bin/sh\n[ "$1" = config ] && echo kind-prod && exit\n'
        f'echo "$@" >> {tmp_path}/asked\necho {guarded.editor}\n'
    )
    kubectl.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    result = Cli(None)("login", guarded.url, "-n", "team-a", "--kubernetes", "--service-account", "agent")
    assert result.exit_code == 0, result.output
    asked = (tmp_path / "asked").read_text()
    assert asked == "create token agent --namespace team-a --audience ordinaut --context kind-prod\n"
    assert guarded.editor not in config_file.read_text()


def test_who_is_refused_learns_what_to_do(guarded: Guarded) -> None:
    stranger = Cli(guarded.url)("get", "tasks", "-n", "team-a")
    assert (stranger.exit_code, stranger.stdout) == (1, "")
    assert f"ordinaut login {guarded.url}" in stranger.stderr
    viewer = Cli(guarded.url, ORDINAUT_TOKEN=guarded.viewer)
    assert viewer("get", "tasks", "-n", "team-a").exit_code == 0
    for arguments, role in (
        (["delete", "task", "hello"], "editor"),
        (["audit"], "admin"),
        (["run", "hello"], "editor"),
    ):
        refused = viewer(*arguments, "-n", "team-a")
        assert refused.exit_code == 1
        assert f"the role {role} has that right" in refused.stderr


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


def test_why_gives_programs_what_rest_does_and_people_what_to_type(cli: Cli, files: Path) -> None:
    assert cli("apply", "-f", files).exit_code == 0
    run = cli.json("run", "hello")["metadata"]["name"]
    for asked, path in (("hello", "tasks/hello"), (run, f"runs/{run}")):
        answer = httpx2.get(f"{cli.environment['ORDINAUT_API_URL']}/v1/namespaces/default/{path}/why")
        # All but the moment at which each was asked.
        assert {**cli.json("why", asked), "asOf": None} == {**answer.json(), "asOf": None}
        assert cli.json("why", asked).keys() == answer.json().keys()

    told = cli("why", f"default/{run}").stdout.splitlines()
    assert told[0] == f"Run {run} of task default/hello: Pending"
    assert told[1].startswith(
        "! no live worker takes runs of queue default → ordinaut workers -n default   # start a worker"
    )

    wrong = cli("why", "hallo")
    assert wrong.exit_code == 1
    assert "did you mean hello?" in wrong.stderr
