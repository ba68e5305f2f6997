"""A release is refused unless everything has its version, and its page says what the changelog says."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def release() -> ModuleType:
    """The module of the release workflow."""
    spec = importlib.util.spec_from_file_location("release", ROOT / ".ci" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The files that name the version."""
    (tmp_path / "helm" / "ordinaut").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / "helm" / "ordinaut" / "Chart.yaml").write_text('version: 1.2.3\nappVersion: "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [1.2.3] - 2026-01-01\n\nNews.\n\n## [1.2.2]\n\nOld.\n")
    return tmp_path


def test_one_version_everywhere_is_a_release(release: ModuleType, tree: Path) -> None:
    assert release.mistakes("v1.2.3", root=tree) == []
    assert release.notes("1.2.3", changelog=(tree / "CHANGELOG.md").read_text()) == "News.\n"


def test_whatever_has_another_version_is_named(release: ModuleType, tree: Path) -> None:
    (tree / "helm" / "ordinaut" / "Chart.yaml").write_text('version: 1.2.3\nappVersion: "1.2.2"\n')
    assert release.mistakes("v1.2.3", root=tree) == ["Chart.yaml, appVersion: 1.2.2, but the tag says 1.2.3"]
    assert len(release.mistakes("v1.3.0", root=tree)) == 4
    assert release.mistakes("1.2.3", root=tree) == ["1.2.3: no tag of a release; write it like v1.2.3"]


def test_the_tree_is_the_release_that_it_says(release: ModuleType) -> None:
    import ordinaut  # noqa: PLC0415 - the version under test

    assert release.mistakes(f"v{ordinaut.__version__}", root=ROOT) == []
