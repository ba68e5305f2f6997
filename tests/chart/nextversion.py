"""
A release after this one, made of this tree: a copy with another version and one more migration.

The migration is of the kind that releases may bring: it adds, and the release before must go on working with it
(CONTRIBUTING.md). `test_upgrade` runs both side by side.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from ordinaut.store import migrate

VERSION = "0.2.0"

_PACKAGES = (
    "ordinaut",
    "api/ordinaut_api",
    "cli/ordinaut_cli",
    "operator/ordinaut_operator",
    "worker/ordinaut_worker",
)

_ADDITIONS = """
ALTER TABLE task ADD COLUMN note text NOT NULL DEFAULT '';
ALTER TABLE task_clock ADD COLUMN offset_ms int NOT NULL DEFAULT 0;
ALTER TABLE fire ADD COLUMN offset_ms int NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN weight smallint NOT NULL DEFAULT 1;
ALTER TABLE step ADD COLUMN weight smallint NOT NULL DEFAULT 1;
ALTER TABLE due_work ADD COLUMN weight smallint NOT NULL DEFAULT 1;
ALTER TABLE outbox ADD COLUMN origin text;
ALTER TABLE event_log ADD COLUMN origin text;
CREATE TABLE approval (approval_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run_id uuid NOT NULL);
"""


@dataclass(frozen=True)
class NextVersion:
    """The tree of the next release, and the migration that it brings."""

    tree: Path
    migration: str
    number: int


def make(source: Path, target: Path) -> NextVersion:
    """Copy a tree and make it the next release."""
    for package in _PACKAGES:
        shutil.copytree(source / package, target / package)  # with the bytecode, which spares each process seconds
    metadata = target / f"ordinaut-{VERSION}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.4\nName: ordinaut\nVersion: {VERSION}\n")
    number = len(migrate.migrations()) + 1
    name = f"{number:04}_next"
    path = target / "ordinaut" / "store" / "migrations" / f"{name}.sql"
    path.write_text(_ADDITIONS)
    return NextVersion(target, name, number)
