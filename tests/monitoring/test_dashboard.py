"""The dashboard: importable as it is, about metrics that are there, with the alerts' own thresholds."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ordinaut.states import ENDED_RUN_PHASES
from tests.monitoring.conftest import Installation
from tests.monitoring.queries import labels_of, mistakes
from tests.monitoring.scraping import ROOT
from tests.monitoring.test_alerts import BY_NAME, THRESHOLD, check

pytestmark = pytest.mark.xdist_group("monitoring")

FILES = sorted((ROOT / "helm" / "ordinaut" / "files" / "dashboards").glob("*.json"))
ROWS = [
    *("Is it on time?", "Queue", "Workers", "Runs by namespace", "Steps and tools", "Stores", "Events", "Kubernetes"),
    "API and limits",
]
UNITS = {"short", "s", "ops", "reqps", "bytes", "percentunit", "dateTimeFromNow", "d"}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
FILTER = 'cluster=~"$cluster",namespace=~"$namespace",job=~"$job"'


def dashboard() -> dict[str, Any]:
    (file,) = FILES
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"]


def plain(expression: str) -> str:
    """Return an expression as Grafana sends it when everything is chosen."""
    return re.sub(r"\$(cluster|namespace|job)", ".*", expression).replace("$__rate_interval", "2m")


def test_it_is_the_same_dashboard_in_every_release() -> None:
    found = dashboard()

    assert (found["uid"], found["id"], found["editable"], found["refresh"]) == ("ordinaut-overview", None, False, "30s")
    assert found["tags"] == ["ordinaut"]
    assert found["links"][0]["tags"] == ["ordinaut"]
    assert "__inputs" not in found
    assert "__requires" not in found


def test_it_fits_into_a_configmap() -> None:
    assert FILES[0].stat().st_size < 500_000


def test_it_lets_people_choose_data_source_cluster_namespace_and_job() -> None:
    variables = dashboard()["templating"]["list"]

    assert [one["name"] for one in variables] == ["datasource", "cluster", "namespace", "job"]
    assert variables[0]["type"] == "datasource"
    for one in variables[1:]:
        assert one["datasource"] == DATASOURCE
        assert (one["includeAll"], one["allValue"]) == (True, ".*")


def test_its_rows_answer_the_questions_in_their_order() -> None:
    assert [panel["title"] for panel in dashboard()["panels"] if panel["type"] == "row"] == ROWS


def test_every_panel_says_what_it_shows() -> None:
    for panel in panels():
        assert panel["datasource"] == DATASOURCE, panel["title"]
        assert all(target["datasource"] == DATASOURCE for target in panel["targets"]), panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["targets"], panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    everything = dashboard()["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        place = panel["gridPos"]
        cells = {(x + place["x"], y + place["y"]) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_selector_follows_the_choice() -> None:
    for expression in expressions():
        named = re.findall(r"\b(?:ordinaut|process)_[a-z_]+\{([^}]*)\}", expression)
        assert named, expression
        assert all(inner.startswith(FILTER) for inner in named), expression
        assert not re.search(r"\b(?:ordinaut|process)_[a-z_]+(?![a-z_{])", expression), expression


def test_rates_are_over_the_interval_that_grafana_chooses() -> None:
    for expression in expressions():
        assert re.findall(r"rate\([^\[]*\[([^\]]*)\]", expression) == ["$__rate_interval"] * expression.count(
            "rate("
        ), expression


def test_prometheus_accepts_every_expression(promtool: Path, tmp_path: Path) -> None:
    file = tmp_path / "panels.yaml"
    found = [plain(expression) for expression in expressions()]
    recorded = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(found)]
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}), encoding="utf-8")

    assert f"SUCCESS: {len(found)} rules found" in check(promtool, "check", "rules", "--lint=none", file)


def test_panels_ask_for_what_is_there(installation: Installation) -> None:
    there = labels_of(installation.worked.values())
    there["process_resident_memory_bytes"] = {}
    there["ordinaut_runs_total"]["phase"] |= {phase.value for phase in ENDED_RUN_PHASES}

    assert [one for expression in expressions() for one in mistakes(plain(expression), there)] == []


def test_legends_name_labels_that_their_expressions_keep() -> None:
    for panel in panels():
        for target in panel["targets"]:
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            grouped = re.findall(r"by \(([^)]*)\)", target["expr"])
            kept = {label.strip() for one in grouped for label in one.split(",")} if grouped else {"pod"}
            assert named <= kept, panel["title"]


def test_threshold_lines_are_those_of_the_alerts() -> None:
    drawn = set()
    for panel in panels():
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        named = re.findall(r"Alert: (Ordinaut\w+)", panel["description"])
        if len(steps) == 1:
            continue
        (alert,) = named
        found = THRESHOLD.search(BY_NAME[alert]["expr"])
        assert found is not None
        # Of what is counted, the first one is past a threshold of 0.
        assert steps[1]["value"] == (float(found[1]) or 0.5), panel["title"]
        drawn.add(alert)
    measured = {name for name, rule in BY_NAME.items() if not rule["expr"].endswith("> 0")}
    assert drawn >= measured


def test_every_alert_that_a_panel_names_exists() -> None:
    named = {name for panel in panels() for name in re.findall(r"\bOrdinaut[A-Z]\w+", panel["description"])}
    assert named <= set(BY_NAME)
    assert len(named) >= 10
