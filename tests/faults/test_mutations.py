"""
Tests of the tests: they notice when what keeps results from being committed and times from firing twice is gone.

Each mutation takes one safeguard out of a copy of the program; the named tests must fail there, by their assertions,
and pass where nothing is changed.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

import ordinaut

FENCE = '    """Fence: return the settlements whose item is still under its lease."""\n'
BY_ASSERTION = ("failure: AssertionError", "failure: assert ")
ROOT = Path(ordinaut.__file__).parents[1]
QUEUE, FIRE = "tests/integration/store/test_queue.py", "tests/integration/operator/test_fire.py"


@dataclass(frozen=True)
class Change:
    """What replaces which text of a file."""

    path: str
    old: str
    new: str

    def make(self, tree: Path) -> None:
        """Make the change; the text must be there."""
        text = (tree / self.path).read_text()
        assert text.count(self.old) == 1, f"{self.path} no longer says {self.old!r}: mutate what keeps the promise now"
        (tree / self.path).write_text(text.replace(self.old, self.new))


@dataclass(frozen=True)
class Mutation:
    """A safeguard less, which tests must notice it, and which have nothing to do with it."""

    changes: list[Change]
    noticed_by: set[str]
    not_noticed_by: set[str]


MUTATIONS = {
    "no token in settle": Mutation(
        changes=[
            Change(
                "ordinaut/store/settle.py",
                FENCE,
                FENCE + "    return list(settlements)\n",
            ),
        ],
        noticed_by={
            f"{QUEUE}::test_a_settle_after_the_reaper_writes_nothing",
            f"{QUEUE}::test_a_zombie_cannot_write_under_the_next_lease_of_its_run",
        },
        not_noticed_by={f"{QUEUE}::test_a_settle_commits_run_steps_and_events_and_ends_the_lease"},
    ),
    "no key on fire": Mutation(
        changes=[
            Change("ordinaut/store/migrations/0001_backbone.sql", "    PRIMARY KEY (task_id, scheduled_at),\n", ""),
            Change("ordinaut/store/sql/clock.sql", "    ON CONFLICT DO NOTHING RETURNING", "    RETURNING"),
        ],
        noticed_by={f"{FIRE}::test_the_ledger_is_the_second_lock"},
        not_noticed_by={f"{FIRE}::test_a_missed_time_fires_once_by_default_and_the_others_are_recorded"},
    ),
}


def outcomes(tree: Path, tests: set[str], *, database: str) -> dict[str, str]:
    """Run tests of a tree; returns what each said against it, nothing if it passed."""
    report = tree / "report.xml"
    shutil.rmtree(tree / ".hypothesis", ignore_errors=True)
    told = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV_"))}
    options = ["-q", "-n", "0", "-p", "no:cacheprovider", f"--junit-xml={report}"]
    subprocess.run(
        [sys.executable, "-m", "pytest", *options, *sorted(tests)],
        cwd=tree,
        env=told | {"ORDINAUT_TEST_DATABASE_URL": database, "PYTHONPATH": str(tree)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=240,
        check=False,
    )
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        path = (case.get("classname") or "").replace(".", "/")
        failure = next((part for part in case if part.tag in ("failure", "error", "skipped")), None)
        found[f"{path}.py::{case.get('name')}"] = "" if failure is None else f"{failure.tag}: {failure.get('message')}"
    return found


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[], Path]:
    """Make a copy of the program and its tests."""

    def copy() -> Path:
        tree = tmp_path / "tree"
        without = shutil.ignore_patterns("__pycache__", "tools", "*.json")
        for name in ("ordinaut", "tests"):
            shutil.copytree(ROOT / name, tree / name, ignore=without)
        shutil.copy(ROOT / "pyproject.toml", tree)
        return tree

    return copy


def test_the_chosen_tests_pass_where_nothing_is_changed(copied: Callable[[], Path], postgres_url: str) -> None:
    chosen = set().union(*(mutation.noticed_by | mutation.not_noticed_by for mutation in MUTATIONS.values()))

    assert outcomes(copied(), chosen, database=postgres_url) == dict.fromkeys(chosen, "")


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_noticed(name: str, copied: Callable[[], Path], postgres_url: str) -> None:
    mutation = MUTATIONS[name]
    tree = copied()
    for change in mutation.changes:
        change.make(tree)

    found = outcomes(tree, mutation.noticed_by | mutation.not_noticed_by, database=postgres_url)

    assert found.keys() == mutation.noticed_by | mutation.not_noticed_by
    assert {test for test, said in found.items() if said} == mutation.noticed_by, found
    # By what it says, not by breaking down.
    assert [said for said in found.values() if said and not said.startswith(BY_ASSERTION)] == [], found
