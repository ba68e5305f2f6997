"""
How an installation is, judged by its :class:`~ordinaut_cli.cluster.facts.Facts`. Pure.

Each module looks at one side and returns what is to be shown and what it has found; :func:`judge` joins them.
``page`` prints the result for people, :meth:`Health.as_data` is for programs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ordinaut_cli.cluster.facts import Facts, Missed
from ordinaut_cli.cluster.health import measures, processes, versions
from ordinaut_cli.cluster.health.measures import Measures
from ordinaut_cli.cluster.health.processes import Process
from ordinaut_cli.cluster.health.versions import Versions
from ordinaut_cli.findings import Finding, Weight, in_context


class Verdict(StrEnum):
    """The last word about an installation."""

    HEALTHY = "Healthy"
    DEGRADED = "Degraded"
    UNKNOWN = "Unknown"
    """Too little could be seen to tell."""


EXIT_STATUS: Mapping[Verdict, int] = {Verdict.HEALTHY: 0, Verdict.DEGRADED: 1, Verdict.UNKNOWN: 2}


@dataclass(frozen=True, slots=True)
class Health:
    """What ``status`` shows of one installation."""

    namespace: str
    instance: str
    verdict: Verdict
    versions: Versions
    processes: Sequence[Process]
    measures: Measures
    findings: Sequence[Finding]
    unseen: Sequence[Missed]

    def as_data(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "namespace": self.namespace,
            "release": self.instance or None,
            "health": self.verdict.value,
            "versions": self.versions.as_data(),
            "processes": [one.as_data() for one in self.processes],
            **self.measures.as_data(),
            "findings": [one.as_data() for one in self.findings],
            "notSeen": [{"what": one.what, "why": one.why} for one in self.unseen],
        }


def judge(facts: Facts, *, plugin: str, context: str | None = None) -> Health:
    """
    Return how an installation is.

    ``plugin`` is the version of this program, ``context`` that of kubectl which the commands of findings have to name.
    """
    found_versions, of_versions = versions.judge(facts, plugin=plugin)
    found_processes, of_processes = processes.judge(facts)
    found_measures, of_measures = measures.judge(facts)
    findings = sorted([*of_processes, *of_versions, *of_measures], key=lambda one: list(Weight).index(one.weight))
    return Health(
        namespace=facts.namespace,
        instance=facts.instance,
        verdict=_verdict(facts, findings),
        versions=found_versions,
        processes=found_processes,
        measures=found_measures,
        findings=[in_context(one, context) for one in findings],
        unseen=facts.unseen,
    )


def _verdict(facts: Facts, findings: Sequence[Finding]) -> Verdict:
    if any(one.weight is Weight.BAD for one in findings):
        return Verdict.DEGRADED
    return Verdict.HEALTHY if "pods" in facts.others else Verdict.UNKNOWN
