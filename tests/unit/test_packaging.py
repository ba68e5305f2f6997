"""What is installed is what the repository holds: one wheel with five packages and their data, under one version."""

import re
import subprocess
import sys
import tomllib
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import ordinaut

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "ordinaut": ROOT / "ordinaut",
    "ordinaut_operator": ROOT / "operator" / "ordinaut_operator",
    "ordinaut_worker": ROOT / "worker" / "ordinaut_worker",
    "ordinaut_api": ROOT / "api" / "ordinaut_api",
    "ordinaut_cli": ROOT / "cli" / "ordinaut_cli",
}
INFO = f"ordinaut-{ordinaut.__version__}.dist-info"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The wheel, built as the Dockerfile builds it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    (built,) = folder.glob("*.whl")
    return zipfile.Path(built)


def names(wheel: zipfile.Path) -> set[str]:
    return {name for name in wheel.root.namelist() if not name.endswith("/")}


def sources(package: str) -> set[str]:
    """Return the files of a package as the wheel must name them."""
    folder = PACKAGES[package]
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {f"{package}/{path.relative_to(folder).as_posix()}" for path in files}


def test_wheel_holds_exactly_the_five_packages(wheel: zipfile.Path) -> None:
    assert {name.split("/")[0] for name in names(wheel)} == {*PACKAGES, INFO}


@pytest.mark.parametrize("package", PACKAGES)
def test_wheel_holds_every_file_of_a_package(wheel: zipfile.Path, package: str) -> None:
    assert {name for name in names(wheel) if name.startswith(f"{package}/")} == sources(package)


@pytest.mark.parametrize("package", PACKAGES)
def test_wheel_says_that_a_package_is_typed(wheel: zipfile.Path, package: str) -> None:
    assert f"{package}/py.typed" in names(wheel)


def test_wheel_holds_statements_and_migrations(wheel: zipfile.Path) -> None:
    held = names(wheel)
    assert {"ordinaut/store/schema.sql", "ordinaut/store/migrations/0001_backbone.sql"} <= held
    assert {name for name in held if name.startswith("ordinaut/store/sql/")} >= {
        f"ordinaut/store/sql/{topic}.sql"
        for topic in ("clock", "declared", "events", "migrations", "runs", "status", "work")
    }


def test_wheel_installs_the_command_under_both_names(wheel: zipfile.Path) -> None:
    entries = ConfigParser()
    entries.read_string((wheel / INFO / "entry_points.txt").read_text())
    assert dict(entries["console_scripts"]) == {
        "ordinaut": "ordinaut_cli.app:main",
        "kubectl-ordinaut": "ordinaut_cli.app:main",
        "kubectl_complete-ordinaut": "ordinaut_cli.completion:main",
    }


def test_wheel_carries_its_license(wheel: zipfile.Path) -> None:
    assert "Apache License" in (wheel / INFO / "licenses" / "LICENSE").read_text()


@pytest.mark.parametrize("folder", ["operator", "worker", "api", "cli"])
def test_folders_of_processes_are_no_packages(folder: str) -> None:
    # An `operator/__init__.py` would take the place of Python's own module `operator` in interpreters started here.
    assert not (ROOT / folder / "__init__.py").exists()


def test_changelog_begins_with_the_version() -> None:
    headings = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    newest = next(heading for heading in headings if heading != "Unreleased")
    assert newest == ordinaut.__version__


def test_image_is_labelled_with_the_version() -> None:
    assert f"ARG VERSION={ordinaut.__version__}\n" in (ROOT / "Dockerfile").read_text()


def test_image_gets_every_folder_that_the_wheel_is_made_of() -> None:
    admitted = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    needed = {folder.relative_to(ROOT).parts[0] for folder in PACKAGES.values()}
    assert needed | {"pyproject.toml", "README.md", "LICENSE"} <= admitted


@pytest.mark.parametrize(("lock", "extras"), [("runtime", []), ("local", ["local"]), ("dev", ["local"])])
def test_locks_hold_a_version_of_every_dependency(lock: str, extras: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *(one for extra in extras for one in project["optional-dependencies"][extra])]
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    locked = dict(re.findall(r"^([a-z0-9-]+)(?:\[[^\]]*\])?==([^\s;]+)", text, flags=re.MULTILINE))

    unmet = [
        str(wanted)
        for wanted in map(Requirement, declared)
        if wanted.name not in locked or not wanted.specifier.contains(locked[wanted.name], prereleases=True)
    ]

    assert unmet == []
