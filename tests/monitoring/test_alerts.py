"""The alerts: valid, about metrics that are there, tested one by one, and each with its page."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ordinaut.states import ENDED_RUN_PHASES
from tests.monitoring.conftest import Installation
from tests.monitoring.queries import labels_of, mistakes
from tests.monitoring.scraping import ROOT, TARGET_LABELS

pytestmark = pytest.mark.xdist_group("monitoring")

RULES = ROOT / "helm" / "ordinaut" / "files" / "rules" / "ordinaut.yaml"
CASES = Path(__file__).parent / "alerts"
RUNBOOKS = ROOT / "docs" / "runbooks"
DEMANDED = {
    *("OrdinautDown", "OrdinautSchedulerLate", "OrdinautQueueStuck", "OrdinautNoWorkers", "OrdinautLeaseExpiries"),
    *("OrdinautInvariantViolated", "OrdinautOutboxLag", "OrdinautRunFailureRatio", "OrdinautTZDataMoved"),
    *("OrdinautPartitionMissing", "OrdinautSchemaMismatch", "OrdinautNoLeader", "OrdinautParkedRuns"),
    *("OrdinautNotReady", "OrdinautDatabaseAway", "OrdinautQueueUnserved", "OrdinautTriggersLate"),
}
THRESHOLD = re.compile(r"(?:>=|<=|==|!=|>|<) ([0-9.]+)$")
"""What the chart replaces: the number of the comparison with which an expression ends."""


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


BY_NAME = {rule["alert"]: rule for rule in rules()}


def check(promtool: Path, *arguments: object) -> str:
    done = subprocess.run([promtool, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_no_alert_is_missing_and_none_is_there_twice() -> None:
    assert sorted(rule["alert"] for rule in rules()) == sorted(DEMANDED)


def test_prometheus_accepts_the_file(promtool: Path) -> None:
    assert f"SUCCESS: {len(BY_NAME)} rules found" in check(promtool, "check", "rules", "--lint-fatal", RULES)


@pytest.mark.parametrize("name", sorted(p.stem for p in CASES.glob("*.yaml")))
def test_the_cases_hold(promtool: Path, name: str) -> None:
    check(promtool, "test", "rules", CASES / f"{name}.yaml")


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_an_alert_has_cases_in_which_it_fires_and_in_which_it_is_silent(name: str) -> None:
    cases = yaml.safe_load((CASES / f"{name}.yaml").read_text(encoding="utf-8"))["tests"]
    asked = [
        (case["name"], one["alertname"], bool(one["exp_alerts"])) for case in cases for one in case["alert_rule_test"]
    ]

    assert {alert for _, alert, _ in asked} == {name}
    assert any(fires for _, _, fires in asked)
    firing = {case for case, _, fires in asked if fires}
    assert {case for case, _, _ in asked} - firing, "no case in which it is silent all the time"


def test_cases_notice_a_wrong_threshold(promtool: Path, tmp_path: Path) -> None:
    cases = tmp_path / CASES.relative_to(ROOT)
    shutil.copytree(CASES, cases)
    target = tmp_path / RULES.relative_to(ROOT)
    target.parent.mkdir(parents=True)
    deaf = [{**rule, "expr": never(rule["expr"])} for rule in rules()]
    target.write_text(yaml.safe_dump({"groups": [{"name": "ordinaut", "rules": deaf}]}), encoding="utf-8")

    files = [cases / f"{name}.yaml" for name in BY_NAME]
    tested = subprocess.run(
        [promtool, "test", "rules", *files], capture_output=True, text=True, timeout=120, check=False
    )

    told = tested.stdout + tested.stderr
    assert told.count("FAILED:") == len(BY_NAME), told
    assert "SUCCESS" not in told


def never(expression: str) -> str:
    """Return an expression with a threshold that nothing passes."""
    below = re.search(r"< [0-9.]+$", expression)
    return THRESHOLD.sub("< -1e9" if below else "> 1e12", expression)


def test_every_expression_ends_with_its_threshold() -> None:
    assert [name for name, rule in BY_NAME.items() if not THRESHOLD.search(rule["expr"])] == []
    assert [name for name, rule in BY_NAME.items() if "\n" in rule["expr"]] == []


def test_alerts_ask_for_what_is_there(installation: Installation) -> None:
    there = labels_of(installation.worked.values())
    # What a phase or a reason could be is known, whether it has come about or not.
    there["ordinaut_runs_total"]["phase"] |= {phase.value for phase in ENDED_RUN_PHASES}

    assert [one for rule in BY_NAME.values() for one in mistakes(rule["expr"], there)] == []


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_an_alert_says_what_it_should(name: str) -> None:
    rule = BY_NAME[name]
    annotations = rule["annotations"]

    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert re.fullmatch(r"[A-Z][^{}]*\.", annotations["summary"])
    assert annotations["description"].endswith(".")
    assert annotations["runbook_url"].endswith(f"/docs/runbooks/{name}.md")


def test_descriptions_name_labels_that_alerts_have() -> None:
    for name, rule in BY_NAME.items():
        named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["description"]))
        # The last aggregation decides which labels are left; without one, all of the target's and the metric's are.
        kept = re.match(r"\(?(?:\w+ )?(?:max|min|sum|group) by \(([^)]*)\)", rule["expr"])
        left = set(kept[1].replace(" ", "").split(",")) if kept else TARGET_LABELS
        assert named <= left, name


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    assert sorted(page.stem for page in RUNBOOKS.iterdir()) == sorted([*BY_NAME, "README"])


def test_the_page_of_metrics_lists_every_alert_with_severity_and_threshold() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| \[(\w+)\]\(runbooks/\1\.md\) \| (\w+ \| .*) \|$", page, flags=re.MULTILINE))

    assert {name: row.split(" | ")[0] for name, row in listed.items()} == {
        name: rule["labels"]["severity"] for name, rule in BY_NAME.items()
    }
    for name, rule in BY_NAME.items():
        threshold = THRESHOLD.search(rule["expr"])
        assert threshold is not None
        if threshold[1] not in {"0", "1"}:
            assert re.search(rf"(?<![\d.]){re.escape(threshold[1])}(?![\d.])", listed[name]), name
