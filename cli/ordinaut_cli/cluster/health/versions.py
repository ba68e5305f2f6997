"""Which versions of what are there, and whether they fit. Called by ``health.judge``; pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ordinaut_cli.cluster.facts import DEFINITIONS, Facts, holds, labels_of, name_of, watched
from ordinaut_cli.findings import Finding, bad, note

_INFO = "ordinaut_build_info"


@dataclass(frozen=True, slots=True)
class Versions:
    """Versions; what is not known is empty."""

    plugin: str
    processes: dict[str, list[str]] = field(default_factory=dict)
    """By component: usually one, during a rollout two."""
    tzdata: list[str] = field(default_factory=list)
    chart: str = ""
    schema: int | None = None
    wanted_schema: int | None = None
    definitions: dict[str, bool] | None = None
    """Whether each CustomResourceDefinition is there and established; None where they were not seen."""
    watching: str = "all"

    @property
    def installed(self) -> str:
        """The version that most people would name: that of the operator, else any."""
        found = [version for versions in self.processes.values() for version in versions]
        return found[0] if found else ""

    def as_data(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "plugin": self.plugin,
            "processes": self.processes,
            "chart": self.chart or None,
            "schema": self.schema,
            "wantedSchema": self.wanted_schema,
            "tzdata": self.tzdata,
            "definitions": self.definitions,
            "watching": self.watching,
        }


def judge(facts: Facts, *, plugin: str) -> tuple[Versions, list[Finding]]:
    """Return the versions and what does not fit."""
    samples = facts.samples()
    schema, wanted = samples.max("ordinaut_schema_version"), samples.max("ordinaut_schema_expected_version")
    versions = Versions(
        plugin=plugin,
        processes={one: found for one in facts.components if (found := _versions(facts, one))},
        tzdata=sorted({labels["tzdata"] for labels in samples.labels(_INFO) if labels.get("tzdata")}),
        chart=next((chart for one in facts.deployments if (chart := labels_of(one).get("helm.sh/chart"))), ""),
        schema=None if schema is None else int(schema),
        wanted_schema=None if wanted is None else int(wanted),
        definitions=_definitions(facts),
        watching=", ".join(watched(facts.deployment("operator"))) or "all",
    )
    return versions, [*_misfits(facts, versions)]


def _versions(facts: Facts, component: str) -> list[str]:
    """Return what the processes of a component say they are, or else their label."""
    said = {labels["version"] for labels in facts.samples(component).labels(_INFO) if labels.get("version")}
    deployment = facts.deployment(component)
    label = labels_of(deployment).get("app.kubernetes.io/version") if deployment else None
    return sorted(said) or ([label] if label else [])


def _definitions(facts: Facts) -> dict[str, bool] | None:
    seen = facts.others.get("customresourcedefinitions")
    if seen is None:
        return None
    established = {name_of(one): holds(one, "Established") for one in seen}
    return {plural: established.get(f"{plural}.ordinaut.io", False) for plural in DEFINITIONS}


def _misfits(facts: Facts, versions: Versions) -> Iterator[Finding]:
    missing = [plural for plural, there in (versions.definitions or {}).items() if not there]
    if missing:
        names = " ".join(f"{plural}.ordinaut.io" for plural in missing)
        yield bad(
            f"CustomResourceDefinitions are missing or not served: {', '.join(missing)}", f"kubectl get crd {names}"
        )
    if versions.schema is not None and versions.wanted_schema is not None and versions.schema < versions.wanted_schema:
        text = f"the database has schema {versions.schema}, the processes need {versions.wanted_schema}"
        yield bad(text, f"kubectl -n {facts.namespace} get jobs")
    running = {version for found in versions.processes.values() for version in found}
    if len(running) > 1:
        told = ", ".join(f"{one} {'/'.join(found)}" for one, found in versions.processes.items())
        yield note(
            f"several versions run: {told}", f"kubectl -n {facts.namespace} get pods -L app.kubernetes.io/version"
        )
    elif running and versions.plugin not in running:
        yield note(f"this program is {versions.plugin}, what is installed is {running.pop()}")
    if len(versions.tzdata) > 1:
        text = f"several versions of the time zone data are in use: {', '.join(versions.tzdata)}"
        yield note(text, _by_version(facts))


def _by_version(facts: Facts) -> str:
    return f"kubectl -n {facts.namespace} get pods -L app.kubernetes.io/version"
