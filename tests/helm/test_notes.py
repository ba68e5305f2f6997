"""What helm says after an installation: commands that work, what is off, what to beware of, what stays behind."""

import re
from collections.abc import Callable

import yaml

from ordinaut.resources.manifest import parse
from tests.helm.looking import DATABASE

ECHO = re.compile(r"--filename - <<'END'\n(.*?)\n +END\n", re.DOTALL)


def test_notes_begin_with_commands_that_work(notes: Callable[..., str]) -> None:
    said = notes(DATABASE)
    example = ECHO.search(said)
    assert example is not None
    (manifest,) = yaml.safe_load_all(example[1])
    task = parse(manifest | {"metadata": manifest["metadata"] | {"namespace": "default"}})
    assert task.metadata.name == "hello"
    assert "ordinaut login kubernetes://ordinaut-system/ordinaut-api " in said
    assert "--clusterrole ordinaut-editor" in said


def test_notes_say_what_is_off_and_how_it_is_switched_on(notes: Callable[..., str]) -> None:
    off = notes(DATABASE).partition("OFF")[2]
    for key in ("redis.existingSecret", "metrics.podMonitor.enabled=true", "networkPolicy.enabled=true", "worker.keda"):
        assert key in off
    warnings = [line for line in off.splitlines() if line.startswith("  ! ")]
    assert not [line for line in warnings if "newer than what this version was tested with" not in line]


def test_notes_warn_of_what_is_not_for_production(notes: Callable[..., str]) -> None:
    said = notes(
        {
            "trial": {"enabled": True},
            "operator": {"replicas": 1},
            "crds": {"keep": False},
            "watchNamespaces": ["a"],
        }
    )
    beware = said.partition("BEWARE")[2]
    for warning in ("trial.enabled: ", "operator: one pod", "crds.keep=false"):
        assert f"! {warning}" in beware
    assert "worker: one pod" not in beware
    assert "--role ordinaut-editor" in said


def test_notes_say_what_stays_behind(notes: Callable[..., str]) -> None:
    later = notes(DATABASE).partition("LATER")[2]
    assert "helm uninstall ordinaut --namespace ordinaut-system" in later
    assert "leaves the CRDs" in later
    assert "OLD-CHART --namespace ordinaut-system --reset-then-reuse-values --set crds.enabled=false\n" in later


def test_notes_say_what_was_left_out(notes: Callable[..., str]) -> None:
    dashboards = {"enabled": True, "grafanaOperator": {"enabled": True}}
    values = {"renderMode": "skipIfMissing", "podMonitor": {"enabled": True}, "dashboards": dashboards}
    off = notes(DATABASE | {"metrics": values}).partition("OFF")[2]
    assert "metrics.podMonitor: left out, since the cluster does not know PodMonitor" in off
    assert "metrics.dashboards.grafanaOperator: left out, since the cluster does not know GrafanaDashboard" in off
