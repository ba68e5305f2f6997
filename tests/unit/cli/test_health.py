"""Judging an installation by its facts: what degrades it, what is only told, and which command each finding names."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from ordinaut_cli.cluster import health
from ordinaut_cli.cluster.facts import Facts, Heard, Missed, Trouble
from ordinaut_cli.cluster.health import Health, Verdict, measures, page
from ordinaut_cli.cluster.health.processes import pod_of, tag_of
from ordinaut_cli.cluster.installation import grouped, troubles
from ordinaut_cli.cluster.samples import Samples
from ordinaut_cli.findings import Weight, in_context, note

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)

METRICS = """\
# TYPE ordinaut_build_info gauge
ordinaut_build_info{process="operator",tzdata="2026f",version="0.1.0"} 1.0
# TYPE ordinaut_schema_version gauge
ordinaut_schema_version 3.0
# TYPE ordinaut_schema_expected_version gauge
ordinaut_schema_expected_version 3.0
"""


def pod(name: str, component: str, *, ready: bool = True, status: Mapping[str, Any] | None = None) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/component": component}},
        "spec": {"containers": [{"name": component}]},
        "status": {"phase": "Running", "conditions": conditions, **(status or {})},
    }


def deployment(component: str, *, replicas: int = 1, ready: int | None = None, **status: Any) -> dict[str, Any]:
    container = {"name": component, "image": "registry.example:5000/ordinaut:0.1.0"}
    return {
        "metadata": {
            "name": f"ordinaut-{component}",
            "namespace": "ordinaut",
            "labels": {"app.kubernetes.io/component": component, "app.kubernetes.io/version": "0.1.0"},
        },
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [container]}}},
        "status": {"readyReplicas": replicas if ready is None else ready, **status},
    }


def lease(renewed: str = "2026-11-23T08:59:55.000000Z", holder: str = "operator-0_1a2b3c4d") -> dict[str, Any]:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed}
    return {"metadata": {"name": "ordinaut-operator"}, "spec": spec | {"acquireTime": "2026-11-20T09:00:00.000000Z"}}


def definitions(*names: str) -> list[dict[str, Any]]:
    established = {"conditions": [{"type": "Established", "status": "True"}]}
    return [{"metadata": {"name": f"{name}.ordinaut.io"}, "status": established} for name in names]


def facts(**changes: Any) -> Facts:
    """A healthy installation, but for what a test changes."""
    pods = changes.pop("pods", [pod("operator-0", "operator"), pod("worker-0", "worker")])
    heard = {one["metadata"]["name"]: Heard({}, Samples.parse(METRICS)) for one in pods}
    others = {
        "pods": pods,
        "leases": [lease()],
        "jobs": [],
        "scaledobjects": [],
        "customresourcedefinitions": definitions("tasks", "pipelines", "tools", "hooks"),
        **changes.pop("others", {}),
    }
    given: dict[str, Any] = {
        "namespace": "ordinaut",
        "instance": "ordinaut",
        "deployments": [deployment("operator"), deployment("worker")],
        "now": NOW,
        "heard": heard | changes.pop("heard", {}),
        "others": {kind: items for kind, items in others.items() if items is not None},
    }
    return Facts(**{**given, **changes})


def judge(**changes: Any) -> Health:
    return health.judge(facts(**changes), plugin="0.1.0")


def bad(judged: Health) -> list[str]:
    return [f"{one.text} → {one.command}" for one in judged.findings if one.weight is Weight.BAD]


def notes(judged: Health) -> list[str]:
    return [f"{one.text} → {one.command}" for one in judged.findings if one.weight is Weight.NOTE]


def measured(text: str) -> dict[str, Any]:
    return {"heard": {"operator-0": Heard({}, Samples.parse(METRICS + text))}}


def test_nothing_wrong_is_healthy() -> None:
    judged = judge()
    assert (judged.verdict, list(judged.findings)) == (Verdict.HEALTHY, [])
    assert health.EXIT_STATUS[judged.verdict] == 0


def test_pools_of_workers_are_shown_each_by_itself() -> None:
    busy = METRICS + "ordinaut_worker_slots 2.0\nordinaut_worker_slots_busy 1.0\n"
    judged = judge(
        pods=[pod("operator-0", "operator"), pod("w", "worker"), pod("g", "worker-gpu")],
        deployments=[deployment("worker-gpu"), deployment("operator"), deployment("worker")],
        heard={"g": Heard({}, Samples.parse(busy))},
    )

    assert [(one.name, one.ready) for one in judged.processes] == [("operator", 1), ("worker", 1), ("worker-gpu", 1)]
    assert judged.processes[2].detail == "1 of 2 slots busy"
    assert judged.verdict is Verdict.HEALTHY


WAITING = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
CRASHING = {
    "restartCount": 7,
    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-11-23T08:58:00Z"}},
}
UNSCHEDULED = {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]}


OPERATORS_LOGS = "kubectl -n ordinaut logs -l app.kubernetes.io/component=operator"
DEFINITIONS = "kubectl get crd tasks.ordinaut.io pipelines.ordinaut.io tools.ordinaut.io"


def with_worker(**status: Any) -> dict[str, Any]:
    """An installation whose worker is not ready."""
    return {"pods": [pod("operator-0", "operator"), pod("w", "worker", ready=False, status=status)]}


def lacking(need: str, why: str) -> dict[str, Any]:
    return {"heard": {"operator-0": Heard({need: why}, Samples())}}


def refused() -> dict[str, Any]:
    failure = {"type": "ReplicaFailure", "status": "True", "message": "violates PodSecurity"}
    return {"deployments": [deployment("operator"), deployment("worker", replicas=2, ready=1, conditions=[failure])]}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no image": (
        with_worker(containerStatuses=[WAITING]),
        "w: ImagePullBackOff: no such image → kubectl -n ordinaut describe pod w",
    ),
    "crashing": (
        with_worker(containerStatuses=[CRASHING]),
        "w: CrashLoopBackOff: it ended with status 137 (OOMKilled) → kubectl -n ordinaut logs w --previous --tail=20",
    ),
    "no node": (
        with_worker(phase="Pending", **UNSCHEDULED),
        "w is on no node: 0/3 nodes are available → kubectl -n ordinaut describe pod w",
    ),
    "no redis": (
        lacking("redis", "connection refused"),
        "operator: redis: connection refused → kubectl -n ordinaut logs operator-0 --tail=20",
    ),
    "no watch": (lacking("watch", "not served"), f"operator: watch: not served → {DEFINITIONS}"),
    "no deployment": (
        {"deployments": [deployment("operator")]},
        "there is no Deployment of the worker → kubectl -n ordinaut get deployments",
    ),
    "no workers": (
        {"deployments": [deployment("operator"), deployment("worker", replicas=0)]},
        "no worker: nothing runs → kubectl -n ordinaut scale deployment/ordinaut-worker --replicas=2",
    ),
    "pods refused": (
        refused(),
        "worker: 1 of 2 ready: violates PodSecurity → kubectl -n ordinaut describe deployment ordinaut-worker",
    ),
    "old lease": (
        {"others": {"leases": [lease(renewed="2026-11-23T08:50:00.000000Z")]}},
        "no operator leads, so nobody writes status: operator-0 renewed the Lease last 10m ago"
        " → kubectl -n ordinaut logs operator-0 --tail=20",
    ),
    "no lease": (
        {"others": {"leases": []}},
        "no operator leads, so nobody writes status: nobody holds the Lease"
        " → kubectl -n ordinaut logs operator-0 --tail=20",
    ),
    "no definition": (
        {"others": {"customresourcedefinitions": definitions("tasks", "tools", "hooks")}},
        "CustomResourceDefinitions are missing or not served: pipelines → kubectl get crd pipelines.ordinaut.io",
    ),
    "late": (
        measured("ordinaut_schedule_overdue_seconds 95.0\n"),
        f"tasks are late: a time has been due for 1m35s and nobody fires it → {OPERATORS_LOGS} --tail=20",
    ),
    "old work": (
        measured("ordinaut_queue_depth 12.0\nordinaut_queue_oldest_age_seconds 600.0\n"),
        "12 runs wait for a worker, the oldest for 10m: there are too few workers, or they are stuck"
        " → kubectl -n ordinaut get pods -l app.kubernetes.io/component=worker",
    ),
    "nobody's queue": (
        measured("ordinaut_queues_unserved 2.0\n"),
        "2 queues have runs and no worker → kubectl ordinaut workers -n NAMESPACE",
    ),
    "no workers of a pool": (
        {"deployments": [deployment("operator"), deployment("worker"), deployment("worker-gpu", replicas=0)]},
        "worker-gpu: no worker of this pool → kubectl -n ordinaut scale deployment/ordinaut-worker-gpu --replicas=2",
    ),
    "invariant": (
        measured('ordinaut_invariant_violations_total{invariant="lost_run"} 1.0\n'),
        "invariant violated 1 times: lost_run; please report it → kubectl ordinaut report --logs",
    ),
    "no partitions": (
        measured("ordinaut_partition_days_ahead 1.0\n"),
        f"partitions of the history are there for 1 days only → {OPERATORS_LOGS} --tail=50",
    ),
    "old events": (
        measured('ordinaut_event_backlog_seconds{reader="stream"} 900.0\n'),
        f"events are late: the oldest has waited 15m → {OPERATORS_LOGS} --tail=50",
    ),
    "late triggers": (
        measured('ordinaut_event_backlog_seconds{reader="triggers"} 90.0\n'),
        f"events trigger tasks late: the oldest has waited 1m30s → {OPERATORS_LOGS} --tail=50",
    ),
    "old schema": (
        measured("ordinaut_schema_expected_version 4.0\n"),
        "the database has schema 3, the processes need 4 → kubectl -n ordinaut get jobs",
    ),
}


@pytest.mark.parametrize(("changes", "finding"), list(WRONG.values()), ids=list(WRONG))
def test_what_degrades_an_installation_is_told_with_the_next_command(changes: Any, finding: str) -> None:
    judged = judge(**changes)
    assert finding in bad(judged)
    assert judged.verdict is Verdict.DEGRADED
    assert health.EXIT_STATUS[judged.verdict] == 1


def test_a_failed_migration_degrades_it_and_a_later_good_one_does_not() -> None:
    def job(name: str, created: str, condition: str) -> dict[str, Any]:
        labels = {"app.kubernetes.io/component": "migrate"}
        metadata = {"name": name, "creationTimestamp": created, "labels": labels}
        conditions = [{"type": condition, "status": "True", "message": "BackoffLimitExceeded"}]
        return {"metadata": metadata, "status": {"conditions": conditions}}

    failed, done = job("m-1", "2026-11-23T08:00:00Z", "Failed"), job("m-2", "2026-11-23T08:30:00Z", "Complete")
    expected = "the migration of the database failed: BackoffLimitExceeded → kubectl -n ordinaut logs job/m-1 --tail=20"
    assert bad(judge(others={"jobs": [failed]})) == [expected]
    assert bad(judge(others={"jobs": [done, failed]})) == []


def test_the_same_lack_of_several_pods_is_told_once() -> None:
    pods = [pod("operator-0", "operator"), *(pod(f"worker-{n}", "worker", ready=False) for n in range(3))]
    alone = Heard({"database": "it does not answer"}, Samples())
    judged = judge(
        pods=pods,
        heard={"worker-0": alone, "worker-1": alone},
        deployments=[deployment("operator"), deployment("worker", replicas=3, ready=1)],
    )
    assert [line for line in bad(judged) if "database" in line] == [
        "2 of 3 workers: database: it does not answer → kubectl -n ordinaut logs worker-0 --tail=20"
    ]


def test_no_workers_are_fine_where_they_come_with_the_work() -> None:
    judged = judge(
        deployments=[deployment("operator"), deployment("worker", replicas=0)],
        pods=[pod("operator-0", "operator")],
        others={"scaledobjects": [{"metadata": {"name": "ordinaut-worker"}}]},
    )
    assert judged.verdict is Verdict.HEALTHY


def test_what_is_only_worth_knowing_degrades_nothing() -> None:
    restarted = {"restartCount": 1, "state": {"running": {}}, "lastState": CRASHING["lastState"]}
    judged = judge(
        pods=[pod("operator-0", "operator"), pod("worker-0", "worker", status={"containerStatuses": [restarted]})],
        troubles=[Trouble("research", "scan", "PipelineNotFound", "there is no Pipeline scan-v2")],
        heard={"worker-0": Heard({}, Samples.parse(METRICS + 'ordinaut_runs_total{phase="Parked"} 2.0\n'))},
    )
    assert judged.verdict is Verdict.HEALTHY
    assert notes(judged) == [
        "worker-0 was started again 2m ago: OOMKilled, status 137"
        " → kubectl -n ordinaut logs worker-0 --previous --tail=20",
        "2 runs were parked since the processes started: their workers were lost too often"
        " → kubectl ordinaut runs --phase Parked -n NAMESPACE",
        "task research/scan: PipelineNotFound: there is no Pipeline scan-v2 → kubectl ordinaut why research/scan",
    ]


def test_versions_that_differ_are_told() -> None:
    newer = Heard({}, Samples.parse(METRICS.replace("0.1.0", "0.2.0")))
    judged = judge(heard={"worker-0": newer})
    assert [line.partition(" →")[0] for line in notes(judged)] == ["several versions run: operator 0.1.0, worker 0.2.0"]
    other = health.judge(facts(), plugin="0.3.0")
    assert [line.partition(" →")[0] for line in notes(other)] == ["this program is 0.3.0, what is installed is 0.1.0"]


def test_without_pods_nothing_can_be_told_and_without_metrics_it_still_can() -> None:
    blind = judge(others={"pods": None}, unseen=[Missed("pods", "forbidden")])
    assert (blind.verdict, health.EXIT_STATUS[blind.verdict]) == (Verdict.UNKNOWN, 2)
    deaf = judge(heard={"operator-0": Heard(), "worker-0": Heard()})
    assert deaf.verdict is Verdict.HEALTHY
    assert {one.state for one in deaf.measures.stores} == {"unknown"}


def test_a_lease_that_could_not_be_seen_is_no_lease_that_is_missing() -> None:
    assert bad(judge(others={"leases": []}, unseen=[Missed("lease", "forbidden")])) == []


def test_an_installation_without_redis_is_not_one_that_lost_it() -> None:
    operator = deployment("operator")
    operator["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "ORDINAUT_EVENTS", "value": "off"}]
    stores = judge(deployments=[operator, deployment("worker")]).measures.stores
    assert [(one.name, one.detail) for one in stores][1] == ("redis", "not used: events stay in PostgreSQL")


def test_what_was_not_measured_yet_is_left_out() -> None:
    text = "ordinaut_schedule_overdue_seconds NaN\nordinaut_next_fire_timestamp_seconds NaN\n"
    judged = judge(**measured(text))
    assert judged.verdict is Verdict.HEALTHY
    assert "CLOCK" not in dict(judged.measures.lines)


@pytest.mark.parametrize(
    ("command", "there"),
    [
        ("kubectl -n ordinaut get jobs", "kubectl --context east -n ordinaut get jobs"),
        ("kubectl ordinaut report --logs", "kubectl ordinaut report --logs --context east"),
        # Its context is another thing: that of the API.
        ("kubectl ordinaut why a/b", "kubectl ordinaut why a/b"),
        ("ordinaut resume a", "ordinaut resume a"),
        ("", ""),
    ],
)
def test_commands_go_to_the_cluster_that_was_looked_at(command: str, there: str) -> None:
    assert in_context(note("x", command), "east").command == there
    assert in_context(note("x", command), None).command == command


def test_the_page_has_no_terminal_codes_from_the_cluster() -> None:
    judged = judge(troubles=[Trouble("a", "b", "InvalidSpec", "\x1b[31mred\nsecond line")])
    paper = StringIO()
    page.show(judged, console=Console(file=paper, width=200))
    assert "\\x1b[31mred\\nsecond line" in paper.getvalue()
    assert "\x1b" not in paper.getvalue()


def test_installations_are_told_apart_and_stores_of_a_trial_are_none() -> None:
    def named(namespace: str, instance: str, component: str) -> dict[str, Any]:
        labels = {"app.kubernetes.io/instance": instance, "app.kubernetes.io/component": component}
        return {"metadata": {"namespace": namespace, "name": component, "labels": labels}}

    found = grouped(
        [
            named("b", "two", "worker"),
            named("a", "one", "operator"),
            named("b", "two", "operator"),
            named("c", "trial", "postgres"),
        ]
    )
    assert [(one.namespace, one.instance, len(one.deployments)) for one in found] == [("a", "one", 1), ("b", "two", 2)]


def test_tasks_that_are_not_ready_are_found() -> None:
    def task(name: str, status: str) -> dict[str, Any]:
        condition = {"type": "Ready", "status": status, "reason": "ToolNotFound", "message": "apply it"}
        return {"metadata": {"namespace": "n", "name": name}, "status": {"conditions": [condition]}}

    fresh = {"metadata": {"namespace": "n", "name": "fresh"}}
    found = list(troubles([task("good", "True"), task("wrong", "False"), fresh]))
    assert found == [Trouble("n", "wrong", "ToolNotFound", "apply it")]


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("ghcr.io/ordinaut/ordinaut:0.1.0", "0.1.0"),
        ("registry:5000/ordinaut", "registry:5000/ordinaut"),
        ("registry:5000/o:1@sha256:abc", "1"),
        ("o@sha256:0123456789abcdef", "sha256:0123456789ab"),
    ],
)
def test_an_image_is_told_by_its_tag_or_digest(image: str, tag: str) -> None:
    assert tag_of(image) == tag


def test_the_leader_is_told_by_its_pod() -> None:
    assert (pod_of("operator-0_1a2b3c4d"), pod_of("by-hand")) == ("operator-0", "by-hand")


def test_samples_of_several_processes_are_joined() -> None:
    one = Samples.parse('a{x="1"} 2.0\na{x="2"} 5.0\nb NaN\n')
    both = Samples.joined([one, Samples.parse('a{x="1"} 3.0\n')])
    assert (both.sum("a", x="1"), both.max("a"), both.min("a"), both.sum("b"), both.sum("c")) == (5, 5, 2, None, None)
    assert both.by("a", "x") == {"1": 5, "2": 5}


def test_a_quantile_is_the_bound_of_its_bucket() -> None:
    text = 'h_bucket{le="0.1"} 98\nh_bucket{le="1.0"} 99\nh_bucket{le="+Inf"} 100\n'
    samples = Samples.parse(f"# TYPE h histogram\n{text}h_count 100\nh_sum 1\n")
    assert [samples.quantile("h", part) for part in (0.5, 0.99, 1.0)] == [0.1, 1.0, None]
    assert Samples().quantile("h", 0.99) is None
    assert not math.isnan(samples.quantile("h", 0.5) or 0)


@pytest.mark.parametrize(
    ("alert", "threshold"),
    [
        ("OrdinautSchedulerLate", measures.OVERDUE),
        ("OrdinautQueueStuck", measures.OLD_WORK),
        ("OrdinautOutboxLag", measures.OLD_EVENTS),
        ("OrdinautTriggersLate", measures.OLD_TRIGGERS),
        ("OrdinautPartitionMissing", measures.DAYS_AHEAD),
    ],
)
def test_what_status_finds_bad_is_what_the_alert_of_the_chart_finds_bad(alert: str, threshold: float) -> None:
    rules = Path(__file__).parents[3] / "helm" / "ordinaut" / "files" / "rules" / "ordinaut.yaml"
    groups = yaml.safe_load(rules.read_text())["groups"]
    (expression,) = [rule["expr"] for group in groups for rule in group["rules"] if rule.get("alert") == alert]
    assert float(expression.split()[-1]) == threshold
