"""
An older copy of the time zone data: the pinned package with some zones as they were before, under its older version.

A process that has its folder in ``PYTHONPATH`` lives by it as one does that was installed then.
"""

import os
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path

import tzdata  # type: ignore[import-untyped]  # it ships no types

VERSION = "2025b"

ZONES = {
    "Europe/Chisinau": "EET-2EEST,M3.5.0,M10.5.0/3",
    "Africa/Casablanca": "<+01>-1",
    "America/Havana": "CST5CDT,M3.2.0/0,M11.1.0/1",
    "America/Vancouver": "PST8PDT,M3.2.0,M11.1.0",
}
"""The zones of which 2025b knew other times of 2026 than the pinned data, by the rules that they then lived by."""


def older_copy(folder: Path, *, zones: Mapping[str, str] = ZONES) -> Path:
    """Make a copy in which ``zones`` live by other rules, each as POSIX writes it; return what belongs in the path."""
    package = Path(tzdata.__file__).parent
    copy = shutil.copytree(package, folder / "tzdata", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "__init__.py").write_text(f'IANA_VERSION = "{VERSION}"\n')
    for name, rule in zones.items():
        (copy / "zoneinfo" / name).write_bytes(_compiled(rule))
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a process that lives by the copy in a folder."""
    before = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *([before] if before else [])])}


def _compiled(rule: str) -> bytes:
    """Return a file of RFC 8536 without a history: one rule for all times."""
    one_type = struct.pack(">iBB", 0, 0, 0) + b"UTC\0"
    block = struct.pack(">4sc15x6l", b"TZif", b"2", 0, 0, 0, 0, 1, 4) + one_type
    return block + block + f"\n{rule}\n".encode()
