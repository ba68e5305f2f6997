"""Commands that need nobody: what they print, and with which status they end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from ordinaut_cli.app import app
from ordinaut_cli.commands.run import parse_param
from ordinaut_cli.errors import CommandError
from ordinaut_cli.invocation import program_name
from tests.cluster.processes import free_port
from tests.wrong_manifests.catalog import WRONG_MANIFESTS, WrongManifest

TASK = """\
apiVersion: ordinaut.io/v1alpha1
kind: Task
metadata: {name: hello}
spec:
  schedules:
  - at: "2099-01-01T08:30:00"
    timeZone: Europe/Chisinau
  pipeline:
    steps: [{id: greet, uses: std.log, with: {message: hello}}]
"""
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n"


def run(*arguments: str | Path, given: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments], input=given)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.yaml").write_text(TASK)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "wrong.yml").write_text(TASK.replace("hello", "wrong").replace("Chisinau", "Kishinau"))
    (tmp_path / "other.yaml").write_text(CONFIG_MAP)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "ignored.yaml").write_text("[")
    (tmp_path / "notes.txt").write_text("not a manifest")
    return tmp_path


def test_good_manifests_are_ok(folder: Path) -> None:
    good = folder / "good.yaml"
    result = run("validate", "-f", good)
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{good}: Task default/hello: ok\n", "")


def test_mistakes_are_told_with_file_and_line_and_fail(folder: Path) -> None:
    result = run("validate", "-f", folder)
    wrong = folder / "deep" / "wrong.yml"
    assert result.exit_code == 1
    assert f"{folder / 'good.yaml'}: Task default/hello: ok\n" in result.stdout
    assert f"{folder / 'other.yaml'}: ConfigMap default/settings: skipped, not of ordinaut.io\n" in result.stdout
    assert result.stderr == (
        f'{wrong}:7: spec.schedules[0].timeZone: Invalid value: "Europe/Kishinau": unknown time zone; '
        "write a name of the IANA database in its exact spelling, such as Europe/Chisinau or UTC\n"
    )


@pytest.mark.parametrize("wrong", WRONG_MANIFESTS, ids=lambda wrong: wrong.path.stem)
def test_a_wrong_manifest_is_refused_in_the_words_of_kubectl(wrong: WrongManifest) -> None:
    result = run("validate", "-f", wrong.path)
    assert result.exit_code == 1
    assert any(wrong.refusal in line for line in result.stderr.splitlines()), result.stderr
    assert all(line.startswith(f"{wrong.path}:") for line in result.stderr.splitlines())


def test_stdin_is_a_file_and_the_namespace_fills_in_what_it_leaves_out() -> None:
    result = run("validate", "-f", "-", "-n", "team", given=TASK)
    assert (result.exit_code, result.stdout) == (0, "<stdin>: Task team/hello: ok\n")


def test_an_object_that_is_declared_twice_is_a_mistake(folder: Path) -> None:
    (folder / "deep" / "wrong.yml").write_text(TASK)
    result = run("validate", "-f", folder)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{folder / 'good.yaml'}:3: metadata.name: ")
    assert f"also declared in {folder / 'deep' / 'wrong.yml'}:1" in result.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "not YAML"),
        ("a: 1\na: 2\n", 'the name "a" stands here twice'),
        ("", "no manifest in there"),
        ("# nothing\n---\n", "no manifest in there"),
    ],
)
def test_what_is_no_manifest_at_all_is_wrong_input(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(text)
    result = run("validate", "-f", file)
    assert result.exit_code == 2
    assert words in result.stderr
    assert str(file) in result.stderr


@pytest.mark.parametrize("command", ["validate", "apply", "preview"])
def test_a_file_that_can_not_be_read_is_named(tmp_path: Path, command: str) -> None:
    missing, binary = tmp_path / "missing.yaml", tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe")
    for file, words in ((missing, "No such file"), (binary, "not UTF-8")):
        result = run(command, "-f", file)
        assert result.exit_code == 2
        assert f"-f: {file}: cannot read it: " in result.stderr
        assert words in result.stderr


def test_verdicts_can_be_read_by_programs(folder: Path) -> None:
    for output, load in (("json", json.loads), ("yaml", yaml.safe_load)):
        result = run("validate", "-f", folder, "-o", output)
        assert result.exit_code == 1
        found = {item["object"]: item for item in load(result.stdout)["items"]}
        assert found["Task default/hello"]["valid"] is True
        assert found["Task default/wrong"]["valid"] is False
        assert found["Task default/wrong"]["errors"][0]["line"] == 7
        assert found["Task default/wrong"]["errors"][0]["field"] == "spec.schedules[0].timeZone"


def test_preview_of_files_needs_nobody(folder: Path) -> None:
    result = run("preview", "-f", folder / "good.yaml", "-o", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"tasks": [{"task": "hello", "fires": ["2099-01-01T06:30:00Z"]}]}
    table = run("preview", "-f", folder / "good.yaml").stdout
    assert "2099-01-01T06:30:00Z" in table
    assert run("preview", "-f", folder / "deep").exit_code == 2
    assert "no Task in there" in run("preview", "-f", folder / "other.yaml").stderr


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("city=Iasi", ("city", "Iasi")),
        ("city=", ("city", "")),
        ("text=a=b", ("text", "a=b")),
        ("n:=3", ("n", 3)),
        ('list:=["a"]', ("list", ["a"])),
        ("n=3", ("n", "3")),
    ],
)
def test_a_param_is_text_or_json(text: str, parsed: tuple[str, object]) -> None:
    assert parse_param(text) == parsed


@pytest.mark.parametrize("text", ["city", "=x", ":=1", "n:=", "n:={", "n:=NaN"])
def test_a_param_that_can_not_be_read_says_how_to_write_it(text: str) -> None:
    with pytest.raises(CommandError) as failure:
        parse_param(text)
    assert failure.value.exit_code == 2
    assert failure.value.lines[0].startswith(f"--param: {text}: ")
    assert ";" in failure.value.lines[0]


@pytest.mark.parametrize(
    "arguments", [["get", "tasks"], ["runs"], ["run", "x"], ["describe", "task", "x"], ["fires", "x"], ["cancel", "x"]]
)
def test_an_api_that_is_not_there_is_named_with_what_to_do(arguments: list[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    result = run(*arguments, "--api", url)
    assert (result.exit_code, result.stdout) == (1, "")
    first, second = result.stderr.splitlines()
    assert first.startswith(f"cannot reach the API at {url}: ")
    assert "ordinaut dev DIR" in second
    assert "ORDINAUT_API_URL" in second


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://127.0.0.1", "http://", "nonsense"])
def test_an_api_that_is_no_url_is_refused(url: str) -> None:
    result = run("get", "tasks", "--api", url)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"--api: {url}: ")


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["run"], ["get", "nonsense"], ["runs", "--limit", "0"], ["get", "-x"]]
)
def test_a_wrong_use_is_told_with_the_usage(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: ")
    assert "Error: " in result.stderr


def test_migrate_without_a_database_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("migrate")
    assert result.exit_code == 2
    assert "ORDINAUT_DATABASE_URL" in result.stderr or "ORDINAUT_DATABASE_URL" in result.output
    monkeypatch.setenv("DATABASE_URL", f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    away = run("migrate")
    assert away.exit_code == 1
    assert away.stderr.startswith("ORDINAUT_DATABASE_URL: cannot reach the database: ")


def test_version_is_told_to_people_and_programs() -> None:
    assert run("version").stdout.startswith("ordinaut 0.")
    assert set(json.loads(run("version", "-o", "json").stdout)) == {"ordinaut", "python", "tzdata"}


def test_the_usage_line_says_how_the_program_was_called() -> None:
    assert program_name("/usr/bin/ordinaut") == "ordinaut"
    assert program_name("/usr/local/bin/kubectl-ordinaut") == "kubectl ordinaut"
    plugin = Path(sys.executable).with_name("kubectl-ordinaut")
    shown = subprocess.run([plugin, "get", "-h"], capture_output=True, text=True, check=True).stdout
    assert shown.startswith("Usage: kubectl ordinaut get ")


def test_an_unexpected_error_is_one_line_and_not_a_traceback() -> None:
    code = (
        "import sys; from ordinaut_cli import app; from ordinaut_cli.commands import version\n"
        "def broken(*_): raise RuntimeError('a defect')\n"
        "version.metadata.version = broken; sys.argv = ['ordinaut', 'version']; app.main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        "unexpected error: RuntimeError: a defect",
        "set ORDINAUT_DEBUG=1 to see where",
    ]
