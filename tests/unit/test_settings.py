"""Settings: what is right is taken, and what is wrong ends the process with the name, the value and the remedy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ordinaut import settings
from ordinaut.settings import ProcessSettings
from ordinaut_api.settings import ApiSettings
from ordinaut_operator.settings import OperatorSettings
from ordinaut_worker.settings import WorkerSettings

SECRET = "".join(["hun", "ter", "2"])
DATABASE = (
    "PostgreSQL 15 or newer, as postgresql://user:password@host:5432/database; or leave it out and set PGHOST, PGPORT,"
    " PGUSER, PGPASSWORD and PGDATABASE."
)
URL = f"postgresql://ordinaut:{SECRET}@db:5432/ordinaut"


def refused(
    model: type[ProcessSettings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **values: str
) -> list[str]:
    """Return the lines that a process with these variables ends with."""
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        settings.load(model)
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("model", [WorkerSettings, OperatorSettings, ApiSettings])
def test_the_address_of_the_database_is_all_that_must_be_said(
    model: type[ProcessSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDINAUT_DATABASE_URL", URL)

    assert settings.load(model).database_url.get_secret_value() == URL


def test_a_database_may_be_named_by_the_variables_of_libpq(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db")
    assert settings.load(WorkerSettings).database_url.get_secret_value() == settings.BY_PARTS

    monkeypatch.setenv("DATABASE_URL", URL)
    assert settings.load(WorkerSettings).database_url.get_secret_value() == URL


def test_an_address_that_is_empty_counts_as_none_where_the_parts_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDINAUT_DATABASE_URL", "")
    monkeypatch.setenv("PGHOST", "db")

    assert settings.load(WorkerSettings).database_url.get_secret_value() == settings.BY_PARTS


def test_without_any_database_both_ways_to_name_one_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A port alone names no server.
    lines = refused(WorkerSettings, monkeypatch, capsys, PGPORT="5432", PGDATABASE="ordinaut")

    assert lines == [f"ORDINAUT_DATABASE_URL: not set: Field required ({DATABASE})"]


def test_the_usual_names_of_addresses_are_understood_and_ours_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("REDIS_URL", "redis://cache:6379/1")
    found = settings.load(WorkerSettings)
    assert found.database_url.get_secret_value() == URL
    assert found.redis_url.get_secret_value() == "redis://cache:6379/1"

    monkeypatch.setenv("ORDINAUT_DATABASE_URL", "host=other")
    assert settings.load(WorkerSettings).database_url.get_secret_value() == "host=other"


@pytest.mark.parametrize(
    ("model", "variable", "value", "line"),
    [
        (
            WorkerSettings,
            "ORDINAUT_WORKER_SLOTS",
            "many",
            'ORDINAUT_WORKER_SLOTS: "many": Input should be a valid integer, unable to parse string as an integer'
            " (Runs held at once; each is an asyncio task.)",
        ),
        (
            ProcessSettings,
            "ORDINAUT_PROBE_PORT",
            "70000",
            'ORDINAUT_PROBE_PORT: "70000": Input should be less than or equal to 65535'
            " (Port of the same; 0 picks a free one.)",
        ),
        (
            ProcessSettings,
            "ORDINAUT_LOG_FORMAT",
            "xml\n\x1b[31m",
            r"""ORDINAUT_LOG_FORMAT: "xml\n\u001b[31m": Input should be 'json' or 'console'"""
            " (json for machines, console for people.)",
        ),
        (
            OperatorSettings,
            "ORDINAUT_WATCH_NAMESPACES",
            "team-a,team-b",
            'ORDINAUT_WATCH_NAMESPACES: "team-a,team-b": Invalid JSON: expected ident at line 1 column 2'
            ' (Namespaces to watch, as JSON (["a", "b"]); empty: all.)',
        ),
        (
            ProcessSettings,
            "ORDINAUT_DATABASE_URL",
            f"mysql://ordinaut:{SECRET}@db/ordinaut",
            f"ORDINAUT_DATABASE_URL: (hidden): this is no address of a PostgreSQL database ({DATABASE})",
        ),
        (
            ProcessSettings,
            "ORDINAUT_DATABASE_URL",
            "",
            f"ORDINAUT_DATABASE_URL: (hidden): this is no address of a PostgreSQL database ({DATABASE})",
        ),
        (
            ProcessSettings,
            "REDIS_URL",
            f"cache:{SECRET}",
            "REDIS_URL: (hidden): this is no address of a Redis server, as redis://host:6379/0"
            " (Redis 6.2 or Valkey 8 or newer, for events only.)",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_remedy(
    model: type[ProcessSettings],
    variable: str,
    value: str,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ORDINAUT_DATABASE_URL", URL)

    assert refused(model, monkeypatch, capsys, **{variable: value}) == [line]


def test_every_mistake_is_told_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = refused(WorkerSettings, monkeypatch, capsys, ORDINAUT_LEASE_SECONDS="0", ORDINAUT_LOG_LEVEL="LOUD")

    assert sorted(line.partition(":")[0] for line in lines) == [
        "ORDINAUT_DATABASE_URL",
        "ORDINAUT_LEASE_SECONDS",
        "ORDINAUT_LOG_LEVEL",
    ]


def test_a_mistake_between_two_settings_names_both(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"ORDINAUT_DATABASE_URL": URL, "ORDINAUT_SOURCE": "directory"}

    assert refused(OperatorSettings, monkeypatch, capsys, **values) == [
        "ORDINAUT_SOURCE=directory needs ORDINAUT_DIRECTORY, the folder with the manifests"
    ]


@pytest.mark.parametrize(
    "address",
    [
        "redis://[::1]:6379/0",
        "rediss://user:pass@cache",
        "unix:///run/redis.sock?db=1",
        "rediss+sentinel://u:p@a:1,b/s/0",
    ],
)
def test_every_kind_of_address_of_a_redis_server_is_taken(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDINAUT_DATABASE_URL", "host=/run/postgresql dbname=ordinaut")
    monkeypatch.setenv("ORDINAUT_REDIS_URL", address)

    assert settings.load(ProcessSettings).redis_url.get_secret_value() == address


def test_an_authority_for_a_redis_that_is_not_encrypted_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_text("…")
    values = {"ORDINAUT_DATABASE_URL": URL, "ORDINAUT_REDIS_CA_FILE": str(authority)}

    assert refused(OperatorSettings, monkeypatch, capsys, **values, ORDINAUT_REDIS_URL="redis://cache") == [
        "ORDINAUT_REDIS_CA_FILE needs an ORDINAUT_REDIS_URL that begins with rediss://: by this one, nothing is"
        " encrypted"
    ]
    monkeypatch.setenv("ORDINAUT_EVENTS", "off")
    assert settings.load(OperatorSettings).events == "off"
    monkeypatch.setenv("ORDINAUT_EVENTS", "on")
    monkeypatch.setenv("ORDINAUT_REDIS_URL", "rediss://cache")
    assert settings.load(OperatorSettings).redis_ca_file == authority


def test_namespaces_are_a_json_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDINAUT_DATABASE_URL", URL)
    assert settings.load(OperatorSettings).watch_namespaces == []

    monkeypatch.setenv("ORDINAUT_WATCH_NAMESPACES", '["team-a", "team-b"]')
    assert settings.load(OperatorSettings).watch_namespaces == ["team-a", "team-b"]


def test_addresses_are_not_shown_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDINAUT_DATABASE_URL", URL)
    found = settings.load(WorkerSettings)

    assert SECRET not in repr(found) + str(found) + found.model_dump_json()


@pytest.mark.parametrize("process", ["worker", "operator"])
def test_a_process_ends_at_once_without_a_traceback(process: str, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "ORDINAUT_PROBE_PORT": "x"}

    ended = subprocess.run(
        [sys.executable, "-m", f"ordinaut_{process}"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert (ended.returncode, ended.stdout) == (2, "")
    assert [line.partition(": ")[0] for line in ended.stderr.splitlines()] == [
        "ORDINAUT_DATABASE_URL",
        "ORDINAUT_PROBE_PORT",
    ]


@pytest.mark.parametrize("model", [WorkerSettings, OperatorSettings, ApiSettings])
def test_every_setting_says_what_it_is_for(model: type[ProcessSettings]) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description] == []
