"""Resource definitions of other projects are fetched once, whole or not at all."""

import sys
from pathlib import Path

import pytest
import yaml

from tests.cluster import foreigncrds
from tests.cluster.errors import MissingProgramError


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without a cache, on a machine without Go."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    return tmp_path


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Modules as Go unpacks them; the answer counts the downloads."""
    downloads: list[str] = []

    def download() -> dict[str, Path]:
        downloads.append("once")
        folders = {module: tmp_path / "go" / module for module in foreigncrds._FILES}
        for module, files in foreigncrds._FILES.items():
            for file in files:
                path = folders[module] / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"kind: CustomResourceDefinition  # {Path(file).stem}\n")
                path.chmod(0o444)
        return folders

    monkeypatch.setattr(foreigncrds, "_download", download)
    return downloads


def test_they_are_fetched_once(home: Path, modules: list[str]) -> None:
    first = foreigncrds.provide()
    assert first == foreigncrds.provide()
    assert modules == ["once"]
    assert first.is_relative_to(home / ".cache" / "ordinaut")
    wanted = {Path(file).name for files in foreigncrds._FILES.values() for file in files}
    assert {path.name for path in first.iterdir()} == wanted
    assert {yaml.safe_load(path.read_text())["kind"] for path in first.iterdir()} == {"CustomResourceDefinition"}


def test_what_was_interrupted_is_made_anew(home: Path, modules: list[str]) -> None:
    folder = home / ".cache" / "ordinaut" / f"crds-{foreigncrds._fingerprint()}"
    halfway = folder.with_name(f"{folder.name}.new")
    halfway.mkdir(parents=True)
    (halfway / "stray.yaml").touch()
    assert not (foreigncrds.provide() / "stray.yaml").exists()
    assert not halfway.exists()


def test_other_versions_go_to_another_folder(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = foreigncrds._fingerprint()
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.sum").write_text("other sums")
    monkeypatch.setattr(foreigncrds, "_MODULE", module)
    assert foreigncrds._fingerprint() != before


def test_without_go_and_a_cache_the_reason_is_said(home: Path) -> None:
    with pytest.raises(MissingProgramError, match="install Go"):
        foreigncrds.provide()


def test_every_file_is_of_a_pinned_module_with_its_checksum() -> None:
    pinned = (foreigncrds._MODULE / "go.mod").read_text()
    sums = (foreigncrds._MODULE / "go.sum").read_text()
    for module in foreigncrds._FILES:
        assert f"\t{module} v" in pinned
        assert f"\n{module} v" in f"\n{sums}"
