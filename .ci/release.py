"""
What a release is held to, and what its page says; the release workflow runs both.

``python .ci/release.py check v1.2.3`` fails unless tag, package, chart and changelog have one version;
``python .ci/release.py notes v1.2.3`` prints the changelog's part about it. Needs nothing but Python.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main(command: str, tag: str) -> int:
    """Run a command for a tag; the exit status is 1 if something does not fit."""
    if command == "notes":
        sys.stdout.write(notes(tag.removeprefix("v"), changelog=(ROOT / "CHANGELOG.md").read_text()))
        return 0
    wrong = mistakes(tag, root=ROOT)
    sys.stderr.writelines(f"{one}\n" for one in wrong)
    return 1 if wrong else 0


def mistakes(tag: str, *, root: Path) -> list[str]:
    """Return what does not have the version of the tag."""
    if not re.fullmatch(r"v\d+\.\d+\.\d+", tag):
        return [f"{tag}: no tag of a release; write it like v1.2.3"]
    version = tag.removeprefix("v")
    chart = (root / "helm" / "ordinaut" / "Chart.yaml").read_text()
    found = {
        "pyproject.toml": tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"],
        "Chart.yaml, version": _of_chart(chart, "version"),
        "Chart.yaml, appVersion": _of_chart(chart, "appVersion"),
    }
    wrong = [f"{where}: {said}, but the tag says {version}" for where, said in found.items() if said != version]
    if not notes(version, changelog=(root / "CHANGELOG.md").read_text()):
        wrong.append(f"CHANGELOG.md: no part headed [{version}] that says something")
    return wrong


def _of_chart(chart: str, key: str) -> str:
    found = re.search(rf'^{key}: "?([^"\s]+)"?$', chart, flags=re.MULTILINE)
    return found[1] if found else "nothing"


def notes(version: str, *, changelog: str) -> str:
    """Return what the changelog says about a version; empty if nothing."""
    part = re.search(rf"^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    return part[1].strip() + "\n" if part and part[1].strip() else ""


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
