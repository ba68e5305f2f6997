"""Contexts: what counts more than what, the file, and the commands that change it."""

import json
import multiprocessing
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from ordinaut_cli import contexts
from ordinaut_cli.app import app
from ordinaut_cli.contexts import Config, Context
from ordinaut_cli.errors import CommandError
from ordinaut_cli.target import Target, decide

CONFIG = Config(
    "team-a",
    {
        "team-a": Context("https://a.test", "team-a", token_file="/token-a"),
        "team-b": Context("https://b.test", "team-b", token_command="make-token"),
        "here": Context("http://127.0.0.1:8080"),
    },
)


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=given)


@pytest.mark.parametrize(
    ("options", "environment", "target"),
    [
        ({}, {}, Target("https://a.test", "team-a", token_file="/token-a")),
        ({"namespace": "x"}, {}, Target("https://a.test", "x", token_file="/token-a")),
        ({"context": "team-b"}, {}, Target("https://b.test", "team-b", token_command="make-token")),
        ({"context": "here"}, {"ORDINAUT_TOKEN": "t"}, Target("http://127.0.0.1:8080", "default")),
        ({"context": "here"}, {"ORDINAUT_API_URL": "https://c.test"}, Target("http://127.0.0.1:8080", "default")),
        ({}, {"ORDINAUT_NAMESPACE": "y"}, Target("https://a.test", "y", token_file="/token-a")),
        ({"namespace": "x"}, {"ORDINAUT_NAMESPACE": "y"}, Target("https://a.test", "x", token_file="/token-a")),
        ({}, {"ORDINAUT_TOKEN": "t"}, Target("https://a.test", "team-a", "t")),
        ({}, {"ORDINAUT_TOKEN_FILE": "/f"}, Target("https://a.test", "team-a", token_file="/f")),
        # The token of a context is for its own API.
        ({"api": "https://c.test"}, {}, Target("https://c.test", "team-a")),
        ({}, {"ORDINAUT_API_URL": "https://c.test"}, Target("https://c.test", "team-a")),
        ({"api": "https://a.test/"}, {}, Target("https://a.test/", "team-a", token_file="/token-a")),
    ],
)  # fmt: skip
def test_what_was_typed_counts_most_then_the_environment_then_the_context(
    options: Mapping[str, str], environment: Mapping[str, str], target: Target
) -> None:
    given = {"api": None, "namespace": None, "context": None, **options}
    assert decide(CONFIG, environment, **given) == target


def test_without_anything_it_is_this_machine() -> None:
    assert decide(Config(), {}, api=None, namespace=None, context=None) == Target("http://127.0.0.1:8080", "default")


def test_a_context_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(CommandError, match=r"nobody; there are: team-a, team-b, here"):
        decide(CONFIG, {}, api=None, namespace=None, context="nobody")


def test_two_tokens_are_one_too_many() -> None:
    environment = {"ORDINAUT_TOKEN": "a", "ORDINAUT_TOKEN_FILE": "b"}
    with pytest.raises(CommandError, match="both set"):
        decide(CONFIG, environment, api=None, namespace=None, context=None)


def test_what_is_written_is_read_again_and_only_the_owner_can_read_it(config_file: Path) -> None:
    with contexts.edited() as box:
        box[0] = CONFIG
    assert contexts.load() == CONFIG
    assert stat.S_IMODE(config_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(config_file.parent.stat().st_mode) == 0o700
    assert [path.name for path in config_file.parent.iterdir()] == ["config.yaml"]


def test_a_file_that_is_a_link_stays_one(config_file: Path, tmp_path: Path) -> None:
    config_file.parent.mkdir()
    config_file.symlink_to(tmp_path / "dotfiles.yaml")
    (tmp_path / "dotfiles.yaml").write_text("")
    with contexts.edited() as box:
        box[0] = CONFIG
    assert config_file.is_symlink()
    assert yaml.safe_load((tmp_path / "dotfiles.yaml").read_text())["currentContext"] == "team-a"


def test_without_a_variable_the_file_is_where_the_system_has_such_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORDINAUT_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/etc/xdg")
    assert contexts.path() == Path("/etc/xdg/ordinaut/config.yaml")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "/home/ana")
    assert contexts.path() == Path("/home/ana/.config/ordinaut/config.yaml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "not YAML"),
        ("[]", "not an object with contexts"),
        ("contexts: []", "contexts: not an object"),
        ("context: {}", "context: unknown field"),
        ("contexts: {a: {api: http://a, tokn: canary}}", "contexts.a.tokn: unknown field"),
        ("contexts: {a: {namespace: x}}", "contexts.a.api: missing"),
        ("contexts: {a: {api: 7}}", "contexts.a.api: not a text"),
        ("contexts: {a: {api: x, tokenFile: y, tokenCommand: z}}", "keep one of them"),
        ("contexts: {../a: {api: x}}", "not a name of a context"),
        ("currentContext: b\ncontexts: {a: {api: x}}", "currentContext: b: there is no such context"),
    ],
)
def test_a_broken_file_is_refused_with_its_place_and_never_overwritten(
    config_file: Path, text: str, words: str
) -> None:
    config_file.parent.mkdir()
    config_file.write_text(text)
    for command in (["get", "tasks"], ["config", "view"], ["config", "set-context", "new", "--api", "http://a"]):
        result = run(*command)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith(str(config_file))
        assert words in result.stderr
        assert "canary" not in result.stderr
    assert config_file.read_text() == text


def test_contexts_are_made_used_and_deleted() -> None:
    assert run("config", "get-contexts").stderr == "no contexts; make one with `ordinaut login URL`\n"
    assert run("config", "current-context").exit_code == 1
    assert run("config", "set-context", "a", "--api", "https://a.test", "-n", "team-a").stdout == "context a created\n"
    assert run("config", "set-context", "b", "--api", "https://b.test", "--token-file", "t").exit_code == 0
    assert run("config", "current-context").stdout == "a\n"
    assert run("config", "use-context", "b").stdout == "the current context is b\n"
    lines = run("config", "get-contexts").stdout.splitlines()
    assert lines[0].split() == ["CURRENT", "NAME", "API", "NAMESPACE", "TOKEN"]
    assert lines[1].split() == ["a", "https://a.test", "team-a", "-"]
    assert lines[2].split() == ["*", "b", "https://b.test", "default", "file"]
    assert run("config", "delete-context", "b").exit_code == 0
    assert json.loads(run("config", "view", "-o", "json").stdout) == {
        "contexts": {"a": {"api": "https://a.test", "namespace": "team-a"}}
    }
    for command in ("use-context", "delete-context"):
        refused = run("config", command, "b")
        assert (refused.exit_code, refused.stderr) == (2, "no context has the name b; there are: a\n")


def test_another_api_does_not_get_the_token_of_the_one_before() -> None:
    run("config", "set-context", "a", "--api", "https://a.test", "--token-file", "/t")
    assert run("config", "set-context", "a", "-n", "x").stdout == "context a changed\n"
    assert contexts.load().contexts["a"] == Context("https://a.test", "x", token_file="/t")
    run("config", "set-context", "a", "--api", "https://b.test")
    assert contexts.load().contexts["a"] == Context("https://b.test", "x")


@pytest.mark.parametrize(
    "arguments",
    [
        ["set-context", "a"],
        ["set-context", "a", "--api", "nonsense"],
        ["set-context", "../a", "--api", "https://a.test"],
        ["set-context", "a", "--api", "https://a.test", "--token-file", "f", "--token-command", "c"],
    ],
)
def test_what_can_be_no_context_is_refused(arguments: list[str]) -> None:
    result = run("config", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert contexts.load() == Config()


def _add(names: range, folder: str) -> None:
    os.environ["ORDINAUT_CONFIG"] = folder
    for name in names:
        with contexts.edited() as box:
            box[0] = box[0].having(f"c{name}", Context("https://a.test"), current=False)


def test_of_commands_at_the_same_time_none_undoes_the_other(config_file: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_add, args=(range(n * 20, n * 20 + 20), str(config_file))) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert len(contexts.load().contexts) == 60


def test_a_token_for_others_is_shown_once_and_its_hash_goes_into_the_access_file(tmp_path: Path) -> None:
    result = run("token", "nightly-agent", "--role", "editor", "-n", "team-a", "-n", "team-b")
    assert result.exit_code == 0, result.output
    token = result.stdout.strip()
    assert token not in result.stderr
    file = tmp_path / "access.yaml"
    file.write_text(result.stderr)

    from ordinaut.access import grants  # noqa: PLC0415
    from ordinaut.access.rights import Right  # noqa: PLC0415

    granted = grants.load(file)
    caller = granted.caller_of(token)
    assert caller is not None
    assert caller.user == "nightly-agent"
    assert granted.allows(caller, Right("create", "tasks"), namespace="team-b")
    assert not granted.allows(caller, Right("create", "tasks"), namespace="team-c")

    again = json.loads(run("token", "other", "-o", "json").stdout)
    assert again["token"] != token
    assert again["entry"]["bindings"] == [{"role": "viewer", "namespaces": ["default"]}]


def test_a_token_for_nobody_is_refused() -> None:
    for arguments in (["Not A Name"], ["a", "-n", "Not A Name"], ["a", "--role", "god"]):
        result = run("token", *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
