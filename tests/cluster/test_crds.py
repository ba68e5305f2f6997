"""Shows that a real API server takes the CRDs, keeps what users write, and refuses what the models refuse."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from ordinaut.errors import Invalid
from ordinaut.resources import yamldocs
from ordinaut.resources.manifest import parse
from ordinaut.resources.status import RunSummary, TaskPhase, TaskStatus
from tests.cluster import operating
from tests.cluster.controlplane import ControlPlane
from tests.wrong_manifests.catalog import WRONG_MANIFESTS, WrongManifest

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

_RESOURCES = "/apis/ordinaut.io/v1alpha1/namespaces/{}/{}"

_FULL_TASK = """
apiVersion: ordinaut.io/v1alpha1
kind: Task
metadata:
  name: full
spec:
  schedules:
  - cron: 30 8 * * 1-5
    timeZone: Europe/Chisinau
    dstGap: Skip
    start: 2026-01-01T00:00:00
    end: 2027-01-01T00:00:00Z
  - rrule: FREQ=WEEKLY;BYDAY=MO
    dtstart: 2026-01-05T08:00:00
    exdates: [2026-01-12T08:00:00]
    rdates: [2026-01-13T08:00:00Z]
  - {interval: 5m}
  - {at: 2028-02-29T00:00:00+02:00}
  triggers:
  - topic: mail.received
    if: data.priority == 'high'
    params: {from: "${event.data.from}", deep: [{text: "of ${event.id}", none: null}]}
    debounce: 1m30s
  - topic: run.>
    params: {all: "${events}"}
    batch: {maxSize: 1000, timeout: 1h}
  pipeline:
    params: {type: object, properties: {city: {type: [string, "null"], default: null}}}
    steps:
    - id: weather
      uses: weather.forecast
      with:
        city: ${params.city}
        list: [1, 2.5, "a ${params.city} b", {none: null, deep: [[{er: "$${x}"}]]}]
        none: null
    - id: brief-it
      uses: llm.plan
      if: steps.weather.ok
      needs: [weather]
      timeout: 30s
      onError: Continue
      saveAs: brief
      retryStrategy: {limit: 3, backoff: {duration: 1s, factor: 1.5, cap: 1m, jitter: None}}
    output: {brief: "${steps.brief}", list: [null, {none: null}]}
  params: {city: Chisinau, deep: {list: [1, {none: null}]}}
  suspend: true
  concurrencyPolicy: Replace
  startingDeadlineSeconds: 300
  catchUp: {policy: All, max: 10}
  retryStrategy: {limit: 2}
  timeout: 15m
  priority: 9
"""


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane) -> ControlPlane:
    """A control plane that knows our resources."""
    operating.install_definitions(control_plane)
    return control_plane


@pytest.mark.parametrize("wrong", WRONG_MANIFESTS, ids=lambda wrong: wrong.path.stem)
def test_kubectl_refuses_with_the_words_of_the_model(installed: ControlPlane, wrong: WrongManifest) -> None:
    refused = installed.kubectl("apply", "--dry-run=server", "--filename", str(wrong.path), check=False)
    assert refused.returncode
    assert wrong.refusal in refused.stderr


def test_the_api_server_keeps_all_that_a_task_says(installed: ControlPlane, namespace: str) -> None:
    (document,) = yamldocs.read(_FULL_TASK, source="full.yaml")
    stored = installed.call("POST", _RESOURCES.format(namespace, "tasks"), document.data)
    assert stored["spec"] == document.data["spec"]
    assert parse(stored).spec == parse(document.data).spec


def test_the_columns_show_schedule_and_times(installed: ControlPlane, namespace: str) -> None:
    (document,) = yamldocs.read(_FULL_TASK, source="full.yaml")
    spec = parse(document.data).spec
    installed.call("POST", _RESOURCES.format(namespace, "tasks"), document.data)
    status = TaskStatus(
        phase=TaskPhase.SCHEDULED,
        schedule=spec.summary,
        time_zone=spec.zone_summary,
        next_schedule_time="2026-11-24T06:30:00Z",
        last_schedule_time="2026-11-23T06:30:00Z",
        last_run=RunSummary(id="0192", phase="Succeeded"),
    )
    patch = json.dumps({"status": status.canonical()})
    installed.kubectl(
        "-n", namespace, "patch", "otask", "full", "--subresource=status", "--type=merge", f"--patch={patch}"
    )
    header, line = installed.kubectl("-n", namespace, "get", "otask", "full").stdout.splitlines()
    assert header.split() == ["NAME", "SCHEDULE", "TIMEZONE", "SUSPEND", "NEXT", "LAST", "PHASE", "AGE"]
    shown = [text for text in line.split("  ") if text.strip()]
    assert installed.kubectl("-n", namespace, "get", "ordinaut", "-o", "name").stdout == "task.ordinaut.io/full\n"
    assert [text.strip() for text in shown[:-1]] == [
        "full",
        "30 8 * * 1-5 +5",
        "Europe/Chisinau, UTC",
        "true",
        "2026-11-24T06:30:00Z",
        "2026-11-23T06:30:00Z",
        "Scheduled",
    ]


def _task(**fields: Any) -> dict[str, Any]:
    spec = {"pipelineRef": {"name": "briefing"}, "schedules": [fields]}
    return {"apiVersion": "ordinaut.io/v1alpha1", "kind": "Task", "metadata": {"name": "tried"}, "spec": spec}


def _triggered(**fields: Any) -> dict[str, Any]:
    document = _task(at="2030-01-01T00:00:00Z")
    document["spec"]["triggers"] = [{"topic": "mail.received", **fields}]
    return document


def _tool(url: str) -> dict[str, Any]:
    spec = {"http": {"url": url}}
    return {"apiVersion": "ordinaut.io/v1alpha1", "kind": "Tool", "metadata": {"name": "tried"}, "spec": spec}


def _pipeline(text: object) -> dict[str, Any]:
    spec = {"steps": [{"id": "tried", "uses": "std.log", "with": {"text": text}}]}
    return {"apiVersion": "ordinaut.io/v1alpha1", "kind": "Pipeline", "metadata": {"name": "tried"}, "spec": spec}


_EDGES: dict[str, tuple[Callable[[Any], dict[str, Any]], list[object]]] = {
    "cron": (
        lambda text: _task(cron=text),
        [
            *(
                "* * * * *",
                "*/10 * * * * *",
                "0 0 LW * *",
                "0 9 * JAN,jul MON#1,5L",
                " 0  0 * * 7 ",
                "@hourly",
                "00 08 * * *",
            ),
            *(
                "60 * * * *",
                "*/0 * * * *",
                "0 0 32 * *",
                "0 0 * * mon#6",
                "0 0 * * *\n",
                "@HOURLY",
                "* * * *",
                "０ 0 * * *",
                "",
            ),
            *("0 0 * * 1-8", "1,,2 * * * *", "1- * * * *", "H * * * *", "0 0 ? * *", "* " * 100, "x" * 256),
        ],
    ),
    "rrule": (
        lambda text: _task(rrule=text),
        [
            "freq=daily",
            "RRULE:FREQ=DAILY;",
            "BYDAY=MO;FREQ=WEEKLY",
            "FREQ=",
            "BYDAY=MO",
            "FREQ=DAILY\n",
            "FREQ=DAILY;;COUNT=1",
        ],
    ),
    "at": (
        lambda text: _task(at=text),
        [
            *("2024-02-29T00:00:00", "2000-02-29T00:00:00Z", "2026-12-31T23:59:59-12:30", "2026-04-30T00:00:00"),
            *(
                "2023-02-29T00:00:00",
                "1900-02-29T00:00:00",
                "2026-04-31T00:00:00",
                "2026-02-30T00:00:00",
                "0000-01-01T00:00:00",
            ),
            *(
                "2026-01-01T24:00:00",
                "2026-1-1T00:00:00",
                "2026-01-01 00:00:00",
                "2026-01-01T00:00:00z",
                "2026-01-01T00:00:00Z\n",
            ),
        ],
    ),
    "interval": (
        lambda text: _task(interval=text),
        ["1s", "1d12h", "0d1s", "0s", "00h0m", "1ms", "s", "1.5h", "5m ", "1m1h", "1" * 6 + "d", "1" * 7 + "d"],
    ),
    "topic": (
        lambda text: _triggered(topic=text),
        [
            *("mail", "mail.*", "*.received", "*", ">", "mail.>", "*.*.>", "run.failed", "com.Example.a-b_c.7"),
            *(
                "",
                "mail.",
                ".mail",
                "mail..x",
                "mail.*x",
                "m>",
                ">.x",
                "mail received",
                "io.ordinaut.run.failed",
                "mail\n",
            ),
            "x" * 129,
        ],
    ),
    "debounce": (
        lambda text: _triggered(debounce=text),
        ["1s", "1h", "60m", "59m60s", "61m", "1h1s", "1d", "0d1s", "0s", "500ms", "1s500ms", "", "s"],
    ),
    "batch": (
        lambda batch: _triggered(batch=batch),
        [
            {"maxSize": 1, "timeout": "1s"},
            {"maxSize": 0, "timeout": "1s"},
            {"maxSize": 1.5, "timeout": "1s"},
            {"timeout": "1s"},
            {"maxSize": 9, "timeout": "61m"},
        ],
    ),
    "condition": (lambda text: _triggered(**{"if": text}), ["data", "${data}", "", "x" * 513]),
    "bounds": (
        lambda bounds: _task(cron="@daily", start=bounds[0], end=bounds[1]),
        [
            ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00+02:00"),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
            ("2026-01-01T00:00:00", "2026-01-01T00:00:00"),
            ("2026-01-01T00:00:00", "2020-01-01T00:00:00Z"),
        ],
    ),
    "timeZone": (
        lambda name: _task(cron="@daily", timeZone=name),
        ["UTC", "Etc/GMT+3", "America/Argentina/ComodRivadavia", "utc", "Factory", "localtime", "", "UTC\n"],
    ),
    "url": (
        _tool,
        [
            "http://a",
            "http://[::1]:80/x?y",
            "https://a.b:1",
            "HTTP://a",
            "http://u@a",
            "http://a#b",
            "http://a/ b",
            "http://ä",
        ],
    ),
    "template": (
        _pipeline,
        [
            "$",
            "${a}",
            "$${",
            "${",
            "${}",
            "a${b}c${",
            ["${"],
            {"x": {"y": "${"}},
            "$$${",
            "$$${a}",
            "${ {a: b} }",
            None,
        ],
    ),
}
_CASES = [
    pytest.param(make, value, id=f"{name}{index}")
    for name, (make, values) in _EDGES.items()
    for index, value in enumerate(values)
]


@pytest.mark.parametrize(("make", "value"), _CASES)
def test_api_server_and_models_agree_at_the_edges(
    installed: ControlPlane, make: Callable[[Any], dict[str, Any]], value: object
) -> None:
    document = make(value)
    path = _RESOURCES.format("default", f"{document['kind'].lower()}s")
    try:
        parse(document)
        refusals = []
    except Invalid as invalid:
        refusals = [f"{error.field}: {error.mistake}" for error in invalid.errors]
    try:
        installed.call("POST", f"{path}?dryRun=All&fieldValidation=Strict", document)
        said = ""
    except httpx2.HTTPStatusError as error:
        said = str(error)
    assert bool(said) == bool(refusals), said or refusals
    assert all(refusal in said for refusal in refusals)
