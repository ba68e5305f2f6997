"""What the processes show is what the page says, each shows only its own, and no user can make it grow."""

import math
import re
from collections.abc import Callable

import pytest

from ordinaut.metrics import Bound
from ordinaut.states import ENDED_RUN_PHASES, EventSkipReason, SkipReason
from ordinaut.store.invariants import Invariant
from ordinaut.store.migrate import migrations
from ordinaut.store.partitions import DAYS_AHEAD
from ordinaut_api.app import create_app
from ordinaut_api.settings import ApiSettings
from ordinaut_operator.skips.recorder import Result
from tests.monitoring.conftest import NAMESPACES, TOOLS, Installation
from tests.monitoring.scraping import PROCESSES, ROOT, TARGET_LABELS, Scrape, documented, values_of

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("monitoring")]

NO_FIXED_VALUES = {"ordinaut_runs_total", "ordinaut_http_requests_total"}
"""Counters that appear with what they count."""


def one_of(*values: str) -> Callable[[str], bool]:
    return lambda value: value in values


def like(pattern: str) -> Callable[[str], bool]:
    return lambda value: re.fullmatch(pattern, value) is not None


def routes() -> set[str]:
    app = create_app(ApiSettings(database_url="postgresql://nowhere/x"))
    return {getattr(route, "path", "none") for route in app.routes} | {"none"}


def needs() -> set[str]:
    """Return the needs that the page explains."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| `(\w+)` \| (?:all|operator|worker|api)", page, flags=re.MULTILINE))


ALLOWED: dict[str, Callable[[str], bool]] = {
    "process": one_of(*PROCESSES),
    "version": like(r"\d+\.\d+\.\d+\S*"),
    "tzdata": like(r"20\d\d[a-z]"),
    "need": lambda value: value in needs(),
    "phase": one_of(*ENDED_RUN_PHASES),
    "task_namespace": one_of(*NAMESPACES, "default", Bound.OTHER),
    "outcome": one_of(
        *("Fired", *SkipReason, *EventSkipReason),
        *("accepted", "repeated", "refused", "late", "limited", "unavailable", "invalid"),  # deliveries to hooks
    ),
    "state": one_of("ready", "paused", "not_ready"),
    "result": one_of(
        *("allowed", "denied", "unanswered"),  # reviews
        *("written", "gone", "refused", "unavailable", "failed"),  # status
        *("refused", "limited", "unavailable"),  # callers
        *Result,  # Events about skipped times
        *("accepted", "rejected"),  # the inbox
    ),
    "invariant": one_of(*Invariant),
    "reader": one_of("triggers", "stream"),
    "loop": like("[a-z]{3,12}"),
    "kind": one_of("Task", "Pipeline", "Tool", "Hook"),
    "action": one_of("changed", "removed"),
    "tool": one_of(*TOOLS, "std.log", Bound.OTHER),
    "route": lambda value: value in routes(),
    "method": one_of("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"),
    "status": like("[1-5][0-9]{2}"),
    "audited": one_of("yes", "no"),
    "le": like(r"[0-9.]+|\+Inf"),
}


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_shows_its_own_metrics_and_no_others(installation: Installation, process: str) -> None:
    expected = {name: one.type for name, one in documented().items() if process in one.processes}

    assert dict(installation.fresh[process].types) == expected
    assert dict(installation.worked[process].types) == expected


def test_every_metric_has_the_labels_that_the_page_says(installation: Installation) -> None:
    for name, page in documented().items():
        shown = [labels for scrape in installation.worked.values() for labels in scrape.labels(name)]
        assert shown, f"no process shows a series of {name}"
        assert all(labels == page.labels for labels in shown), name


def test_no_label_is_one_that_prometheus_gives_itself() -> None:
    # It would be renamed to `exported_…` where anybody looks.
    assert [name for name, page in documented().items() if page.labels & TARGET_LABELS] == []


@pytest.mark.parametrize("process", PROCESSES)
def test_counters_are_there_from_the_start(installation: Installation, process: str) -> None:
    fresh = installation.fresh[process]
    counters = [name for name, type_ in fresh.types.items() if type_ == "counter"]

    assert [name for name in counters if not fresh.values(name)] == [
        name for name in counters if name in NO_FIXED_VALUES
    ]


def test_every_reason_result_and_invariant_is_there_at_zero(installation: Installation) -> None:
    fresh = installation.fresh["operator"]

    assert fresh.values("ordinaut_fires_total") == [0] * (1 + len(SkipReason))
    assert fresh.values("ordinaut_event_fires_total") == [0] * (1 + len(EventSkipReason))
    assert fresh.values("ordinaut_invariant_violations_total") == [0] * len(Invariant)
    assert installation.fresh["api"].values("ordinaut_authentication_failures_total") == [0] * 3


@pytest.mark.parametrize("process", PROCESSES)
def test_every_label_has_values_from_a_list(installation: Installation, process: str) -> None:
    series = installation.worked[process].series

    strange = {
        (one.name, label, value) for one in series for label, value in one.labels.items() if not ALLOWED[label](value)
    }
    assert strange == set()


def test_names_of_users_are_cut_off(installation: Installation) -> None:
    worker = [installation.worked["worker"]]
    namespaces, tools = values_of(worker, "task_namespace"), values_of(worker, "tool")

    assert len(namespaces) == 201
    assert len(tools) == 101
    assert Bound.OTHER in namespaces & tools


def test_what_is_cut_off_still_counts(installation: Installation) -> None:
    assert sum(installation.worked["worker"].values("ordinaut_runs_total")) == len(NAMESPACES) + len(TOOLS)
    assert sum(installation.worked["worker"].values("ordinaut_step_duration_seconds_count")) == len(NAMESPACES) + len(
        TOOLS
    )


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_has_few_series_whatever_users_do(installation: Installation, process: str) -> None:
    assert len(installation.worked[process].series) < 2500


def test_each_process_says_what_it_is_and_that_it_is_ready(installation: Installation) -> None:
    for name, scrape in installation.worked.items():
        (info,) = (one for one in scrape.series if one.name == "ordinaut_build_info")
        assert (info.labels["process"], info.value) == (name, 1)
        assert scrape.values("ordinaut_ready") == [1]
        assert set(scrape.values("ordinaut_need_missing")) == {0}
        assert scrape.values("ordinaut_schema_version") == scrape.values("ordinaut_schema_expected_version")
        assert scrape.values("ordinaut_schema_version") == [len(migrations())]


def test_the_operator_has_measured_everything(installation: Installation) -> None:
    operator: Scrape = installation.worked["operator"]

    assert operator.values("ordinaut_partition_days_ahead") == [DAYS_AHEAD]
    assert operator.values("ordinaut_schedule_overdue_seconds") == [0]
    unmeasured = {one.name for one in operator.series if math.isnan(one.value)}
    assert unmeasured == {"ordinaut_next_fire_timestamp_seconds"}  # no task has a schedule
