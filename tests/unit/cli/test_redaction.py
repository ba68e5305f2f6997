"""What may be in a support bundle: nothing that people chose, and nothing that looks like a secret."""

import hashlib
import json
import stat
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ordinaut.access import grants
from ordinaut_cli.cluster import redaction
from ordinaut_cli.cluster.bundle import Bundle

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Authorization: Bearer canary", "Authorization: REDACTED"),
        ("authorization=Basic Y2FuYXJ5", "authorization=REDACTED"),
        ("Cookie: a=canary; b=canary", "Cookie: REDACTED"),
        ('{"headers": {"Authorization": "Bearer canary"}}', '{"headers": {"Authorization": "REDACTED"}}'),
        ('"{\\"api_key\\": \\"canary\\"}"', '"{\\"api_key\\": REDACTED}"'),
        ("sent Bearer canary.canary on", "sent Bearer REDACTED on"),
        ("postgresql://user:canary@db:5432/x?sslmode=require", "postgresql://REDACTED@db:5432/x?sslmode=REDACTED"),
        ("redis://:canary@host", "redis://REDACTED@host"),
        ("https://u:ca/na@ry@host/path", "https://REDACTED@host/path"),
        ("GET /x?token=canary&y=canary HTTP/1.1", "GET /x?token=REDACTED&y=REDACTED HTTP/1.1"),
        ("password='canary canary' host=db", "password=REDACTED host=db"),
        ("PGPASSWORD=canary", "PGPASSWORD=REDACTED"),
        ("my_access_token: canary", "my_access_token: REDACTED"),
        (f"got {JWT} from it", "got REDACTED from it"),
        ("key ghp_0123456789abcdefghij", "key REDACTED"),
        ("-----BEGIN RSA PRIVATE KEY-----\ncanary\n-----END RSA PRIVATE KEY-----\nrest", "REDACTED\nrest"),
        ("-----BEGIN PRIVATE KEY-----\ncanary", "REDACTED"),
    ],
)
def test_what_looks_like_a_secret_goes(text: str, left: str) -> None:
    assert redaction.text(text) == left
    assert redaction.text(left) == left


@pytest.mark.parametrize(
    "text",
    [
        "connection refused: 10.0.0.7:6379",
        "run 01980000-0000-7000-8000-000000000000 of team-a/brief",
        "ghcr.io/ordinaut/ordinaut:0.1.0@sha256:" + "0" * 64,
        "Task team-a/brief is not ready: PipelineNotFound",
        'ordinaut_fires_total{outcome="Fired"} 12.0',
    ],
)
def test_what_helps_stays(text: str) -> None:
    assert redaction.text(text) == text


HOSTILE = [
    "a://",
    "a.",
    "-eyJ",
    "?a",
    "authorization ",
    "a-",
    "x_token",
    "-----BEGIN A",
    "'",
    '"',
    '\\"',
    'pwd:"',
    "pwd:\\",
]


@pytest.mark.parametrize("part", HOSTILE)
def test_no_text_takes_long(part: str) -> None:
    hostile = part * (100_000 // len(part))
    began = time.process_time()
    redaction.message(redaction.text(hostile))
    assert time.process_time() - began < 5  # what is not linear takes minutes


def test_our_own_tokens_are_known() -> None:
    made = grants.new_token()
    assert made.token not in redaction.text(f"curl with {made.token} went wrong")


def test_a_message_about_what_somebody_wrote_repeats_none_of_it() -> None:
    text = 'spec.params.city: Invalid value: "can\\"ary": no city; write one such as \'Iasi\''
    assert (
        redaction.message(text) == 'spec.params.city: Invalid value: "REDACTED": no city; write one such as "REDACTED"'
    )


def test_a_log_keeps_its_shape() -> None:
    lines = [
        json.dumps({"event": "std.log", "message": "canary", "task": "brief", "run": "0198"}),
        json.dumps({"event": "odd", "deep": {"list": ["https://a:canary@b"]}, "clientSecret": "canary", "n": 1}),
        "plain Authorization: Basic canary",
        "[1, 2]",
    ]
    left = redaction.log("\n".join(lines)).splitlines()
    assert "canary" not in "\n".join(left)
    assert json.loads(left[0]) == {"event": "std.log", "message": "REDACTED", "task": "brief", "run": "0198"}
    assert json.loads(left[1])["n"] == 1
    assert left[3] == "[1, 2]"


def deployment() -> dict[str, Any]:
    own = {
        "name": "worker",
        "command": ["python", "-m", "ordinaut_worker"],
        "args": ["canary"],
        "env": [
            {"name": "ORDINAUT_WORKER_SLOTS", "value": "8"},
            {"name": "ORDINAUT_DATABASE_URL", "value": "postgresql://canary"},
            {"name": "ORDINAUT_UNHEARD_OF", "value": "canary"},
            {"name": "HTTPS_PROXY", "value": "canary"},
            {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
        ],
        "livenessProbe": {"httpGet": {"path": "/healthz", "httpHeaders": [{"name": "X-Key", "value": "canary"}]}},
    }
    sidecar = {"name": "proxy", "command": ["run", "canary"], "args": ["--password", "canary"]}
    volumes = [
        {"name": "a", "csi": {"driver": "d", "volumeAttributes": {"x": "canary"}}},
        {"name": "b", "secret": {"secretName": "db"}},
    ]
    annotations = {
        "kubectl.kubernetes.io/last-applied-configuration": "canary",
        "meta.helm.sh/release-name": "ordinaut",
        "team/note": "canary",
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "w", "annotations": annotations, "managedFields": [{"manager": "canary"}]},
        "spec": {"template": {"spec": {"containers": [own, sidecar], "volumes": volumes}}},
    }


def test_of_a_deployment_only_the_harmless_stays() -> None:
    left = redaction.kubernetes(deployment())
    assert "canary" not in json.dumps(left)
    assert left["metadata"] == {
        "name": "w",
        "annotations": {"meta.helm.sh/release-name": "ordinaut", "team/note": "REDACTED"},
    }
    own, sidecar = left["spec"]["template"]["spec"]["containers"]
    assert own["command"] == ["python", "-m", "ordinaut_worker"]
    assert sidecar["command"] == ["REDACTED", "REDACTED"]
    assert {one["name"]: one.get("value") for one in own["env"]} == {
        "ORDINAUT_WORKER_SLOTS": "8",
        "ORDINAUT_DATABASE_URL": "REDACTED",
        "ORDINAUT_UNHEARD_OF": "REDACTED",
        "HTTPS_PROXY": "REDACTED",
        "PGPASSWORD": None,
    }
    assert own["env"][4]["valueFrom"] == {"secretKeyRef": {"name": "db", "key": "password"}}
    assert left["spec"]["template"]["spec"]["volumes"][1] == {"name": "b", "secret": {"secretName": "db"}}


def test_no_setting_with_a_secret_is_taken_for_harmless() -> None:
    harmless = redaction.harmless_variables()
    assert {"ORDINAUT_WORKER_SLOTS", "ORDINAUT_AUTHENTICATION", "ORDINAUT_WATCH_NAMESPACES"} <= harmless
    assert not {"ORDINAUT_DATABASE_URL", "ORDINAUT_REDIS_URL", "PGPASSWORD", "OTEL_EXPORTER_OTLP_HEADERS"} & harmless


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
def test_of_secrets_and_config_maps_only_the_keys_stay(kind: str) -> None:
    left = redaction.kubernetes({"kind": kind, "metadata": {"name": "x"}, "data": {"uri": "canary"}})
    assert left["data"] == {"uri": "REDACTED"}


def test_a_trigger_of_keda_shows_no_connection() -> None:
    metadata = {"connection": "host=db password=canary", "query": "SELECT ordinaut.claimable()"}
    left = redaction.kubernetes({"spec": {"triggers": [{"type": "postgresql", "metadata": metadata}]}})
    assert left["spec"]["triggers"][0]["metadata"] == {
        "connection": "REDACTED",
        "query": "SELECT ordinaut.claimable()",
    }


def test_of_resources_the_schedule_stays_and_what_steps_are_given_goes() -> None:
    step = {"id": "call", "uses": "http.tool", "if": "params.x == 'canary'", "with": {"a": {"b": ["canary", 1, None]}}}
    task = {
        "kind": "Task",
        "metadata": {"name": "t", "namespace": "n"},
        "spec": {
            "schedules": [{"cron": "0 8 * * *", "timeZone": "Europe/Chisinau"}],
            "params": {"who": "canary", "n": 7},
            "pipeline": {
                "params": {"who": {"type": "string", "default": "canary"}},
                "steps": [step],
                "output": "canary",
            },
            "suspend": True,
            "priority": 3,
            "newField": "canary",
        },
        "status": {
            "conditions": [{"type": "Ready", "message": 'params.who: Invalid value: "canary": no'}],
            "lastRun": {"id": "0198", "message": "canary"},
        },
    }
    left = redaction.resource(task)
    assert "canary" not in json.dumps(left)
    spec = left["spec"]
    assert spec["schedules"] == [{"cron": "0 8 * * *", "timeZone": "Europe/Chisinau"}]
    assert spec["params"] == {"who": "REDACTED", "n": "REDACTED"}
    assert spec["pipeline"]["steps"] == [
        {"id": "call", "uses": "http.tool", "if": "REDACTED", "with": {"a": {"b": ["REDACTED", "REDACTED", None]}}}
    ]
    assert (spec["suspend"], spec["priority"], spec["newField"]) == (True, 3, "REDACTED")


def test_equal_facts_make_equal_bundles_that_only_their_owner_can_read(tmp_path: Path) -> None:
    for name, order in (("a.zip", ("x", "y/z")), ("b.zip", ("y/z", "x"))):
        bundle = Bundle("report")
        for path in order:
            bundle.add(path, f"content of {path}")
        bundle.write(tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert stat.S_IMODE((tmp_path / "a.zip").stat().st_mode) == 0o600
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["report/x", "report/y/z", "report/SHA256SUMS"]
        sums = dict(reversed(line.split("  ")) for line in archive.read("report/SHA256SUMS").decode().splitlines())
        assert sums["x"] == hashlib.sha256(archive.read("report/x")).hexdigest()


def test_a_bundle_is_written_over_nothing(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("precious")
    with pytest.raises(FileExistsError):
        Bundle("report").write(tmp_path / "there")


def test_files_of_the_same_name_get_numbers() -> None:
    bundle = Bundle("report")
    for _ in range(3):
        bundle.add("x", "")
    assert bundle.paths == ["x", "x.2", "x.3"]
