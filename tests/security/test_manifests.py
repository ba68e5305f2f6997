"""Manifests that reach for more than they may: server fields, other namespaces, expansion, size (3, 10, 15, 19)."""

import itertools
from typing import Any

import httpx2
import pytest

from ordinaut.store.pool import Pool
from tests.declaring import manifest, task
from tests.running import Processes, until
from tests.security.problems import refused
from tests.security.sockets import Served
from tests.security.tenants import OURS, THEIRS, Api, path_of

pytestmark = pytest.mark.integration

LOG = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}
COLLECTIONS = {"Task": "tasks", "Pipeline": "pipelines", "Tool": "tools", "Hook": "hooks"}
SPECS: dict[str, dict[str, Any]] = {
    "Task": {"pipeline": {"steps": [LOG]}},
    "Pipeline": {"steps": [LOG]},
    "Tool": {"http": {"url": "http://tools.example/x"}},
    "Hook": {"topic": "a.b", "signature": {"style": "GitHub", "secretRefs": [{"name": "s", "key": "k"}]}},
}


def signed_by(*references: dict[str, Any], topic: str = "a.b") -> dict[str, Any]:
    """Return the spec of a hook."""
    return {"topic": topic, "signature": {"style": "GitHub", "secretRefs": list(references)}}


def document(of: str = "Task", **changes: Any) -> dict[str, Any]:
    """Return a sound manifest of a kind with parts replaced."""
    return {**manifest(of, "hostile", SPECS[of], namespace=OURS), **changes}


def with_metadata(kind: str = "Task", **metadata: Any) -> dict[str, Any]:
    sound = document(kind)
    return {**sound, "metadata": {**sound["metadata"], **metadata}}


async def refuse_everywhere(api: Api, body: dict[str, Any], *, kind: str = "Task", slugs: str = "invalid") -> None:
    """Check that no way of declaring an object takes a manifest, and that nothing comes of it."""
    collection = COLLECTIONS[kind]
    await api.call(
        "editor-a", "PUT", path_of(collection, "other"), json=manifest(kind, "other", SPECS[kind], namespace=OURS)
    )
    before = (await api.call("editor-a", "GET", path_of(collection))).json()["items"]
    answers = [
        await api.call("editor-a", "PUT", path_of(collection, "hostile"), json=body),
        await api.call("editor-a", "POST", path_of(collection), json=body),
        await api.call(
            "editor-a",
            "PATCH",
            path_of(collection, "other"),
            json={**body, "metadata": {**body["metadata"], "name": "other"}},
            headers={"content-type": "application/merge-patch+json"},
        ),
    ]
    if kind == "Task":
        answers.append(await api.call("editor-a", "POST", path_of("tasks:batch"), json={"items": [body]}))
    for answer in answers:
        refused(answer, *slugs.split())
    after = (await api.call("editor-a", "GET", path_of(collection))).json()["items"]
    assert [one["metadata"] for one in after] == [one["metadata"] for one in before]


FORGED_METADATA: list[dict[str, Any]] = [
    {"namespace": THEIRS},
    {"uid": "00000000-0000-0000-0000-000000000000"},
    {"generation": 99},
    {"resourceVersion": "1"},
    {"creationTimestamp": "2020-01-01T00:00:00Z"},
    {"deletionTimestamp": "2020-01-01T00:00:00Z"},
    {"ownerReferences": [{"kind": "Task", "name": "x"}]},
    {"managedFields": []},
    {"finalizers": ["x"]},
    {"generateName": "x-"},
    {"selfLink": "/"},
    {"owner": "somebody"},
    {"origin": "Kubernetes"},
    {"created_by": "somebody"},
    {"createdBy": "somebody"},
    {"creator": "tokens:admin-b"},
    {"version": 7},
    {"labels": {"a": 1}},
    {"labels": ["a"]},
    {"annotations": {"a": {"b": "c"}}},
]


@pytest.mark.parametrize("kind", COLLECTIONS)
async def test_what_only_the_server_sets_is_refused(api: Api, kind: str, subtests: pytest.Subtests) -> None:
    for metadata in FORGED_METADATA:
        with subtests.test(str(metadata)):
            await refuse_everywhere(api, with_metadata(kind, **metadata), kind=kind)
    for name in ("hostile", "other"):
        there = await api.call("admin-b", "GET", path_of(COLLECTIONS[kind], name, namespace=THEIRS))
        assert there.status_code == 404


FORGED_PARTS: list[dict[str, Any]] = [
    {"status": {"phase": "Ready"}},
    {"status": {}},
    {"owner": "somebody"},
    {"namespace": THEIRS},
    {"creator": {"authority": "tokens", "user": "admin-b"}},
    {"lease": {"worker": "w"}},
    {"apiVersion": "v1"},
    {"apiVersion": "ordinaut.io/v999"},
    {"kind": "Secret"},
    {"kind": "TASK"},
]


@pytest.mark.parametrize("kind", COLLECTIONS)
async def test_parts_that_no_caller_writes_are_refused(api: Api, kind: str, subtests: pytest.Subtests) -> None:
    for part in FORGED_PARTS:
        with subtests.test(str(part)):
            await refuse_everywhere(api, document(kind, **part), kind=kind)


FORGED_SPECS: list[dict[str, Any]] = [
    {"status": "Ready"},
    {"owner": "somebody"},
    {"namespace": THEIRS},
    {"created_by": "somebody"},
    {"creator": "tokens:admin-b"},
    {"leased_until": "2030-01-01T00:00:00Z"},
    {"lease_id": 1},
    {"nextScheduleTime": "2030-01-01T00:00:00Z"},
    {"pausedBy": "somebody"},
    {"serviceAccountName": "default"},
    {"priority": 10**9},
    {"priority": "9"},
    {"params": {str(number): 0 for number in range(300)}},
    {"timeout": "0s"},
    {"schedules": [{"cron": "@daily"}] * 11},
]


async def test_fields_that_a_spec_does_not_have_are_refused(api: Api, subtests: pytest.Subtests) -> None:
    for fields in FORGED_SPECS:
        with subtests.test(str(fields)[:40]):
            await refuse_everywhere(api, document(spec={**SPECS["Task"], **fields}))


def step(**fields: Any) -> dict[str, Any]:
    """Return the spec of a task with one step."""
    return {"pipeline": {"steps": [{"id": "s", **fields}]}}


ELSEWHERE: list[tuple[str, dict[str, Any]]] = [
    ("Task", {"pipelineRef": {"name": "p", "namespace": THEIRS}}),
    ("Task", {"pipelineRef": {"name": f"{THEIRS}/p"}}),
    ("Task", {"pipelineRef": {"name": f"../{THEIRS}/p"}}),
    ("Task", {"pipelineRef": f"{THEIRS}/p"}),
    ("Task", step(uses=f"{THEIRS}/tool")),
    ("Task", step(uses="weather", namespace=THEIRS)),
    ("Task", step(uses={"name": "weather", "namespace": THEIRS})),
    ("Task", step(uses="std.log", **{"with": {"message": "${secrets.team-b/token.key}"}})),
    ("Task", step(uses="std.log", **{"with": {"message": "${secrets.token.key}"}})),
    ("Pipeline", {"steps": [{"id": "s", "uses": f"{THEIRS}/tool"}]}),
    ("Tool", {"http": {"url": "http://x/", "auth": {"bearer": f"${{secrets.{THEIRS}/token.key}}"}}}),
    ("Tool", {"http": {"url": "http://x/", "auth": {"secretRef": {"name": "s", "namespace": THEIRS}}}}),
    ("Tool", {"http": {"url": "http://user:password@x/"}}),
    ("Tool", {"http": {"url": "file:///etc/passwd"}}),
    ("Tool", {"http": {"url": "gopher://x/"}}),
    ("Tool", {"http": {"url": "http://x/\r\nHost: y"}}),
    ("Tool", {"http": {"url": "http://x/", "headers": {"Authorization\r\nX": "y"}}}),
    ("Tool", {"http": {"url": "http://x/", "headers": {"X": "y\r\nHost: z"}}}),
    ("Tool", {"http": {"url": "http://x/", "headers": {"Host": "kubernetes.default.svc"}}}),
    ("Tool", {"http": {"url": "http://x/"}, "inputSchema": {"$ref": "http://169.254.169.254/latest"}}),
    ("Tool", {"http": {"url": "http://x/"}, "outputSchema": {"$ref": "file:///etc/passwd"}}),
    ("Tool", {"http": {"url": "http://x/"}, "inputSchema": {"$id": "http://x", "$ref": "#/$defs/" + "a/" * 1000}}),
    ("Hook", signed_by({"name": "s", "key": "k", "namespace": THEIRS})),
    ("Hook", signed_by({"name": f"../../{THEIRS}/secrets/s", "key": "k"})),
    ("Hook", signed_by({"name": "s", "key": f"../../{THEIRS}/s/k"})),
    ("Hook", signed_by({"name": "s", "key": ".."})),
    ("Hook", signed_by({"name": "s?fieldSelector=x", "key": "k"})),
    ("Hook", signed_by({"name": "s", "key": "k"}, topic="run.succeeded")),
    ("Hook", signed_by({"name": "s", "key": "k"}, topic="io.ordinaut.>")),
    ("Hook", signed_by({"name": "s", "key": "k"}, topic=">")),
    ("Hook", signed_by()),
]


async def test_nothing_reaches_into_another_namespace_or_out_of_the_house(api: Api, subtests: pytest.Subtests) -> None:
    for kind, spec in ELSEWHERE:
        with subtests.test(f"{kind} {str(spec)[:70]}"):
            await refuse_everywhere(api, document(kind, spec=spec), kind=kind)


async def test_a_name_that_exists_only_elsewhere_is_not_found(api: Api, pool: Pool) -> None:
    """The pipeline of the other tenant has just the name that ours asks for."""
    theirs = manifest("Pipeline", "shared", SPECS["Pipeline"], namespace=THEIRS)
    put = await api.call("admin-b", "PUT", path_of("pipelines", "shared", namespace=THEIRS), json=theirs)
    assert put.status_code == 201
    ours = document(spec={"pipelineRef": {"name": "shared"}})
    assert (await api.call("editor-a", "PUT", path_of("tasks", "hostile"), json=ours)).status_code == 201
    refused(await api.call("editor-a", "POST", path_of("tasks", "hostile", "run")), "conflict")
    found = (await api.call("editor-a", "GET", path_of("tasks", "hostile"))).json()
    ready = next(one for one in found["status"]["conditions"] if one["type"] == "Ready")
    assert ready["status"] == "False"


def chain(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"s{number}", "uses": "std.log", "with": {"message": "m"}, **more} for number in range(count)]


COSTLY: dict[str, dict[str, Any]] = {
    "10,000 steps": {"pipeline": {"steps": chain(4_000)}},
    "colliding ids": {"pipeline": {"steps": [LOG, LOG]}},
    "needs itself": step(uses="std.log", needs=["s"], **{"with": {"message": "m"}}),
    "needs in a circle": {
        "pipeline": {"steps": [{**LOG, "id": one, "needs": [other]} for one, other in ("ab", "bc", "ca")]}
    },
    "needs 10,000": step(uses="std.log", needs=["x"] * 10_000, **{"with": {"message": "m"}}),
    "template of 3,000 brackets": step(uses="std.log", **{"with": {"message": "${" + "[" * 3000 + "}"}}),
    "template of 600 characters": step(uses="std.log", **{"with": {"message": "${" + "a" * 600 + "}"}}),
    "template left open": step(uses="std.log", **{"with": {"message": "${steps"}}),
    "a condition of 3,000 brackets": step(uses="std.log", **{"if": "(" * 3000, "with": {"message": "m"}}),
    "1,000 templates": step(uses="std.log", **{"with": {"message": "${run.id}" * 1000}}),
    "nested 100 deep": step(uses="std.log", **{"with": {"message": None}}),
    "a pattern that backtracks": {"pipeline": {"steps": [LOG], "params": {"pattern": "(a+)+$(?=b)\\1"}}},
    "a schema that is no schema": {"pipeline": {"steps": [LOG], "params": {"type": "nonsense"}}},
    "a timeout of ages": {**SPECS["Task"], "timeout": "99999999999h"},
    "endless retries": {**SPECS["Task"], "retryStrategy": {"limit": 10**9}},
}
_deep: Any = "x"
for _ in range(60):
    _deep = [_deep]
COSTLY["nested 100 deep"]["pipeline"]["steps"][0]["with"] = {"message": {"a": [[_deep]]}}


async def test_a_pipeline_that_is_made_to_cost_is_refused(api: Api, subtests: pytest.Subtests) -> None:
    for name, spec in COSTLY.items():
        with subtests.test(name):
            await refuse_everywhere(api, document(spec=spec), slugs="invalid too-large malformed")


@pytest.mark.parametrize("size", [255 * 1024, 256 * 1024])
async def test_annotations_as_large_as_a_body_are_refused_or_kept_and_given_back(api: Api, size: int) -> None:
    body = with_metadata(annotations={"a": "x" * size})
    answer = await api.call("editor-a", "PUT", path_of("tasks", "hostile"), json=body)
    if size >= 256 * 1024:
        refused(answer, "too-large")
        return
    assert answer.status_code == 201, answer.text[:300]
    assert (await api.call("editor-a", "GET", path_of("tasks"))).status_code == 200


TEMPLATES = {
    "${{7*7}}": "49",
    "{{7*7}}": "49",
    "#{7*7}": "49",
    "${7*7}": "49",
    "${steps.__class__}": "class",
    "${steps.__class__.__mro__}": "object",
    "${run.__init__.__globals__}": "builtins",
    "${params.self}": "${params.self}${params.self}",
    "${self}": "self",
    "${env.PATH}": "/usr",
    "${join('', params.many)}${join('', params.many)}": "x" * 10_000,
    "{0.__class__}": "class",
    "%(x)s": "%(x)r",
    "$(id)": "uid=",
    "`id`": "uid=",
}


def test_templates_are_literal_or_refused_or_fail_within_their_limits(served: Served, processes: Processes) -> None:
    worker = processes.start("worker")
    params = {"self": "${params.self}", "many": ["x" * 3000] * 80}
    for number, (template, never) in enumerate(TEMPLATES.items()):
        name = f"t{number}"
        body = task(name, {"id": "s", "uses": "std.log", "with": {"message": template}}, params=params)
        body["metadata"]["namespace"] = OURS
        put = served.call("editor-a", "PUT", path_of("tasks", name), json=body)
        if put.status_code == 422:
            refused(put, "invalid")
            continue
        assert put.status_code == 201, put.text
        run = served.call("editor-a", "POST", path_of("tasks", name, "run")).json()["metadata"]["name"]
        done = served.call("editor-a", "GET", path_of("runs", run, "wait?timeout=30")).json()
        assert done["status"]["phase"] in {"Succeeded", "Failed"}, (template, done)
        step = (done["status"].get("steps") or [{}])[0]
        shown = str([step.get("output"), step.get("error"), done["status"].get("output")])
        shown = shown.replace(template, "").replace(template.strip("${}"), "")  # errors quote what was written
        assert never not in shown, (template, shown[:500])
        assert len(shown) < 10_000, template
    until(lambda: worker.readiness() == {"status": "ready"}, what=worker.log)
    assert served.is_well()


async def test_types_of_events_that_only_ordinaut_publishes_are_refused(api: Api) -> None:
    """Whoever could publish them could make others believe that a run has ended or an approval was given."""
    for type_, data in itertools.product(("io.ordinaut.run.succeeded", "io.ordinaut.task.applied"), ({}, {"run": "x"})):
        answer = await api.call("editor-a", "POST", path_of("events"), json={"type": type_, "data": data})
        refused(answer, "invalid")


WRONG_EVENTS: list[dict[str, Any]] = [
    {},
    {"type": ""},
    {"type": "a b"},
    {"type": "x" * 300},
    {"type": "mail\nreceived"},
    {"type": "mail.received", "namespace": THEIRS},
    {"type": "mail.received", "publisher": "system:serviceaccount:ordinaut:operator"},
    {"type": "mail.received", "ordinautrun": "../x"},
    {"type": "mail.received", "by": "somebody"},
    {"type": "mail.received", "subject": "\x1b[31m"},
    {"type": "mail.received", "source": "not a uri\n"},
    {"items": []},
    {"items": [{"type": "mail.received", "data": {}}] * 101},
    {"items": [{"type": "mail.received", "data": {}}, {"type": ""}]},
]


async def test_an_event_that_is_none_is_refused(api: Api, subtests: pytest.Subtests) -> None:
    for event in WRONG_EVENTS:
        with subtests.test(str(event)[:50]):
            refused(await api.call("editor-a", "POST", path_of("events"), json=event), "invalid")
    listed: httpx2.Response = await api.call("editor-a", "GET", path_of("events"))
    assert "mail" not in listed.text
