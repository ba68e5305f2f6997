"""The flags of a worker: they count more than the environment, and wrong ones are refused in a line."""

import pytest

from ordinaut import settings
from ordinaut.settings import Given
from ordinaut_worker import flags
from ordinaut_worker.settings import WorkerSettings


@pytest.fixture(autouse=True)
def _database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDINAUT_DATABASE_URL", "postgresql://db/ordinaut")


def loaded(*arguments: str) -> WorkerSettings:
    return settings.load(WorkerSettings, flags=flags.read(arguments))


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line with which a worker ends."""
    with pytest.raises(SystemExit) as ended:
        loaded(*arguments)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_without_flags_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded().worker_queues == ("default",)

    monkeypatch.setenv("ORDINAUT_WORKER_QUEUES", "gpu, heavy,gpu")
    monkeypatch.setenv("ORDINAUT_WORKER_SLOTS", "3")
    assert loaded().worker_queues == ("gpu", "heavy")
    assert loaded().worker_slots == 3


def test_flags_count_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDINAUT_WORKER_QUEUES", "gpu")
    monkeypatch.setenv("ORDINAUT_WORKER_SLOTS", "many")

    found = loaded("--queue", "heavy", "--queue=default", "--concurrency", "5")

    assert (found.worker_queues, found.worker_slots) == (("heavy", "default"), 5)
    assert loaded("--queue", "*", "--concurrency", "5").worker_queues == ("*",)


def test_what_was_not_typed_is_no_flag() -> None:
    assert flags.read([]) == {}
    assert flags.read(["--queue", "a"]) == {"worker_queues": Given("--queue", "a")}


@pytest.mark.parametrize(
    ("arguments", "begins", "remedy"),
    [
        (["--concurrency", "many"], '--concurrency: "many": Input should be a valid integer', "Runs held at once"),
        (["--concurrency", "0"], '--concurrency: "0": Input should be greater than or equal to 1', "Runs held at once"),
        (["--concurrency", "1001"], '--concurrency: "1001": Input should be less than or equal', "Runs held at once"),
        (["--queue", "Heavy"], '--queue: "Heavy": "Heavy" is no name of a queue', "lower case letters, digits and -"),
        (["--queue", "a" * 64], f'--queue: "{"a" * 64}"', "at most 63"),
        (["--queue", "a.b"], '--queue: "a.b"', "lower case letters, digits and -"),
        (["--queue", ""], '--queue: ""', "lower case letters, digits and -"),
        (["--queue", "*", "--queue", "a"], '--queue: "*,a": * stands alone', "leave out the others"),
        (["--queue"], "argument --queue: expected one argument", "--help"),
        (["--quue", "a"], "unrecognized arguments: --quue a", "--help"),
    ],
)
def test_a_wrong_flag_is_named_with_its_value_and_a_remedy(
    arguments: list[str], begins: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, *arguments)

    assert line.startswith(begins)
    assert remedy in line


def test_a_wrong_variable_is_named_like_those_of_other_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORDINAUT_WORKER_QUEUES", "default,")

    assert refused(capsys).startswith('ORDINAUT_WORKER_QUEUES: "default,": "" is no name of a queue')


def test_help_tells_all_settings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        flags.read(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "--queue NAME" in told
    assert "--concurrency N" in told
    for name, field in WorkerSettings.model_fields.items():
        assert settings.variables(name, field)[0] in told
    assert "redis://127.0.0.1:6379/0" in told
