"""Metrics: labels that users could grow are bounded, and what has fixed values is there from the start."""

import math

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Histogram, generate_latest

from ordinaut import metrics
from ordinaut.metrics import Bound
from ordinaut.probes import Readiness
from ordinaut.states import RunPhase, SkipReason


def test_names_beyond_the_bound_are_all_other() -> None:
    bound = Bound(2)

    assert [bound(name) for name in "abacdb"] == ["a", "b", "a", "_other", "_other", "b"]


def test_namespaces_of_runs_are_bounded() -> None:
    metrics.count_runs((RunPhase.SUCCEEDED, f"tenant-{number}") for number in range(1000))

    (runs,) = (family for family in REGISTRY.collect() if family.name == "ordinaut_runs")
    namespaces = {sample.labels["task_namespace"] for sample in runs.samples}
    assert Bound.OTHER in namespaces
    assert len(namespaces) <= 201


def test_runs_are_counted_by_phase_and_namespace() -> None:
    def counted(phase: str) -> float:
        return REGISTRY.get_sample_value("ordinaut_runs_total", {"phase": phase, "task_namespace": name}) or 0

    name = metrics.TASK_NAMESPACE("counted")
    before = counted("Failed"), counted("Succeeded")
    metrics.count_runs([(RunPhase.FAILED, name), (RunPhase.SUCCEEDED, name), (RunPhase.FAILED, name)])

    assert (counted("Failed") - before[0], counted("Succeeded") - before[1]) == (2, 1)


def test_every_reason_for_skipping_exists_from_the_start() -> None:
    outcomes = ("Fired", *SkipReason)

    assert None not in [REGISTRY.get_sample_value("ordinaut_fires_total", {"outcome": one}) for one in outcomes]


def test_what_is_not_measured_yet_is_no_number() -> None:
    gauge = metrics._unmeasured(metrics.Gauge("unmeasured", "For this test.", registry=None))

    assert math.isnan(gauge._value.get())


def test_needs_are_shown_as_met_and_missing() -> None:
    def missing(need: str) -> float | None:
        return REGISTRY.get_sample_value("ordinaut_need_missing", {"need": need})

    readiness = Readiness(heat="no wood")
    assert missing("heat") == 1
    readiness.met("heat")
    readiness.missing("light", why="it is night")
    assert (missing("heat"), missing("light")) == (0, 1)


@pytest.mark.parametrize("count", [0, 1, metrics.AT_ONCE - 1, metrics.AT_ONCE, 2 * metrics.AT_ONCE + 1])
def test_values_told_in_batches_are_shown_as_those_told_one_by_one(count: int) -> None:
    # Among them are edges of buckets and what is beyond all; sums of such numbers are exact.
    amounts = [(0.0, 0.25, 0.5, 1.0, 1.5, 64.0)[number % 6] for number in range(count)]
    shown = []
    for kind in (Histogram, metrics.BatchHistogram):
        registry = CollectorRegistry()
        histogram = kind("took", "For this test.", ["tool"], buckets=(0.5, 1, 2), registry=registry)
        for amount in amounts:
            histogram.labels("a").observe(amount)
        shown.append(generate_latest(registry))
        assert generate_latest(registry) == shown[-1]

    assert shown[0] == shown[1]


def test_values_told_together_are_shown_as_those_told_one_by_one() -> None:
    registry = CollectorRegistry()
    histogram = metrics.BatchHistogram("took", "For this test.", buckets=(1, 2), registry=registry)

    histogram.observe_all([0.5, 1.5])
    histogram.observe_all(iter([4.0]))

    shown = {edge: registry.get_sample_value("took_bucket", {"le": edge}) for edge in ("1.0", "2.0", "+Inf")}
    assert shown == {"1.0": 1, "2.0": 2, "+Inf": 3}
    assert registry.get_sample_value("took_sum") == 6


def test_steps_of_a_tool_are_measured_under_its_name() -> None:
    def seen(part: str) -> float:
        return REGISTRY.get_sample_value(f"ordinaut_step_duration_seconds_{part}", {"tool": "measured"}) or 0

    before = seen("count"), seen("sum")
    metrics.observe_step("measured", 0.5)
    metrics.observe_step("measured", 0.25)

    assert (seen("count") - before[0], seen("sum") - before[1]) == (2, 0.75)
