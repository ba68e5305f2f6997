"""The access file is followed: what changes counts, what is broken does not."""

import json
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ordinaut.access.accessfile import AccessFile
from ordinaut.access.grants import NewToken, new_token
from ordinaut.errors import Invalid

ONE, TWO = new_token(), new_token()


def write(path: Path, *tokens: NewToken) -> None:
    entries = [{"name": f"t{index}", "sha256": one.sha256, "bindings": []} for index, one in enumerate(tokens)]
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"tokens": entries}))
    new.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "access.yaml"
    write(path, ONE)
    return path


def test_a_change_counts_from_the_next_look_on(path: Path) -> None:
    file = AccessFile.open(path)
    write(path, TWO)
    assert file.grants.caller_of(ONE.token)
    file.look()
    assert file.grants.caller_of(ONE.token) is None
    assert file.grants.caller_of(TWO.token)


@pytest.mark.parametrize("text", ["tokens: [", "", "tokens: [{name: a}]"])
def test_a_broken_file_changes_nothing_and_is_said_once(path: Path, text: str) -> None:
    file = AccessFile.open(path)
    path.write_text(text)
    with capture_logs() as logs:
        file.look()
        file.look()
    assert [line["log_level"] for line in logs] == ["error"]
    assert str(path) in logs[0]["mistakes"]
    assert file.grants.caller_of(ONE.token)

    write(path, TWO)
    file.look()
    assert file.grants.caller_of(TWO.token)


def test_a_file_that_is_gone_changes_nothing(path: Path) -> None:
    file = AccessFile.open(path)
    path.unlink()
    file.look()
    assert file.grants.caller_of(ONE.token)


def test_a_file_behind_a_link_that_leads_elsewhere_is_another(tmp_path: Path, path: Path) -> None:
    """As a mounted ConfigMap changes."""
    other = tmp_path / "other.yaml"
    write(other, TWO)
    stat = path.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    file = AccessFile.open(link)
    link.unlink()
    link.symlink_to(other)
    file.look()
    assert file.grants.caller_of(TWO.token)


def test_it_can_not_be_opened_broken(path: Path) -> None:
    path.write_text("tokens: nobody")
    with pytest.raises(Invalid, match=r"access\.yaml:1: tokens: "):
        AccessFile.open(path)
