"""
The plugin against a real API server and real processes: status, why, logs, login and report, as people see them.

One installation for all of them; a test that breaks something mends it again.
"""

import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from typer.testing import CliRunner, Result

from ordinaut_cli.app import app
from ordinaut_cli.cluster.address import Address
from ordinaut_cli.cluster.forward import Forward
from ordinaut_cli.cluster.kubectl import Access, KubectlError
from tests import running, servers
from tests.cluster import nodeless
from tests.cluster.controlplane import ControlPlane
from tests.cluster.installed import Installation, installed, log_of
from tests.running import until
from tests.servers import StoppableValkey

pytestmark = [pytest.mark.cluster, pytest.mark.integration, pytest.mark.xdist_group("cluster")]

MAIN = "import sys; sys.argv[0] = 'kubectl-ordinaut'; from ordinaut_cli.app import main; main()"


@pytest.fixture(scope="module")
def redis_server() -> Iterator[StoppableValkey]:
    server = StoppableValkey()
    yield server
    server.close()


@pytest.fixture(scope="module")
def installation(
    control_plane: ControlPlane,
    postgres_url: str,
    database_template: str,
    redis_server: StoppableValkey,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    """An installation, and a person who may do there what an editor may, logged in through kubectl."""
    folder = tmp_path_factory.mktemp("plugin")
    with (
        servers.database(postgres_url, template=database_template) as database,
        running.processes(database=database, redis=redis_server.url) as processes,
        installed(control_plane, folder, processes) as made,
    ):
        made.environment = {**made.environment, "ORDINAUT_CONFIG": str(folder / "config.yaml")}
        account = f"--serviceaccount={made.namespace}:me"
        control_plane.token_for("me", made.namespace)
        binding = ("rolebinding", "me", "--clusterrole=ordinaut-editor", account)
        control_plane.kubectl("create", "-n", made.namespace, *binding)
        yield made


@pytest.fixture
def logged_in(installation: Installation) -> Installation:
    """The installation, with a context that leads to it."""
    space = installation.namespace
    result = run(
        installation,
        "login",
        f"kubernetes://{space}/ordinaut-api",
        "-n",
        space,
        *("--kubernetes", "--service-account", "me"),
    )
    assert result.exit_code == 0, result.output
    assert (
        f"as kubernetes:system:serviceaccount:{space}:me; the current context is {space}@ordinaut-api.{space}@test"
        in result.output
    )
    return installation


def run(installation: Installation, *arguments: str, **environment: str) -> Result:
    return CliRunner(env={**installation.environment, **environment}).invoke(app, list(arguments))


def status(installation: Installation, *arguments: str, **environment: str) -> Result:
    return run(installation, "status", "-n", installation.namespace, *arguments, **environment)


def apply(installation: Installation, *documents: dict[str, Any]) -> None:
    text = yaml.safe_dump_all(documents)
    installation.control_plane.kubectl("apply", "-n", installation.namespace, "-f", "-", stdin=text)


def task(name: str, *steps: dict[str, Any], **spec: Any) -> dict[str, Any]:
    body = {"pipeline": {"steps": list(steps)}} if steps else {}
    return {"apiVersion": "ordinaut.io/v1alpha1", "kind": "Task", "metadata": {"name": name}, "spec": {**body, **spec}}


LOG = {"id": "say", "uses": "std.log", "with": {"message": "hello ${params.who}"}}


# ---------------------------------------------------------------- status


def test_a_healthy_installation(installation: Installation) -> None:
    result = status(installation)
    assert result.exit_code == 0, result.output
    lines = [re.sub(r" {2,}", "  ", line.strip()) for line in result.stdout.splitlines()]
    assert lines[0].startswith(
        f"Ordinaut 0.1.0 in namespace {installation.namespace} (watching: {installation.namespace})"
    )
    assert re.search(r"ordinaut-0\.1\.0  CRDs ✔  schema \d+ ✔  tzdata \S+ ✔", lines[0])
    assert [line for line in lines if line.startswith("worker")] == ["worker  2/2  0.1.0  0  0 of 8 slots busy"]
    assert re.search(r"^operator  1/1  0\.1\.0  0  leader operator-0 for \d+", "\n".join(lines), re.MULTILINE)
    assert re.search(r"^postgres  ok  \d+ MiB", "\n".join(lines), re.MULTILINE)
    assert "redis  ok  -" in lines
    assert lines[-1] == "Healthy"


def test_programs_get_the_same_as_data(installation: Installation) -> None:
    found = json.loads(status(installation, "-o", "json").stdout)["items"][0]
    assert (found["namespace"], found["health"], found["notSeen"]) == (installation.namespace, "Healthy", [])
    assert [(one["name"], one["ready"], one["desired"]) for one in found["processes"]] == [
        ("operator", 1, 1),
        ("worker", 2, 2),
        ("api", 1, 1),
    ]
    assert found["measures"]["slots"] == 8
    assert found["versions"]["definitions"] == {"tasks": True, "pipelines": True, "tools": True, "hooks": True}


def test_it_is_found_without_its_namespace_and_one_kubectl_asks_all_questions(installation: Installation) -> None:
    before = installation.places.calls()
    result = run(installation, "status")
    assert f"in namespace {installation.namespace} " in result.stdout
    assert installation.places.calls()[len(before) :] == [
        "config",
        "proxy",
    ]  # whether there is a cluster, and what is in it


def test_a_lost_worker_and_a_lost_redis_degrade_it(installation: Installation, redis_server: StoppableValkey) -> None:
    installation.behind["worker-1"].kill()
    redis_server.stop()
    try:
        apply(installation, task("news", LOG, params={"who": "you"}))  # Redis is missed when there is something to tell
        until(
            lambda: "redis" in installation.behind["operator-0"].readiness().get("reasons", {}), what="redis is missed"
        )
        installation.refresh()
        result = status(installation)
        assert result.exit_code == 1, result.output
        bad = [line for line in result.stdout.splitlines() if line.startswith("!")]
        assert any(line.startswith("! operator: redis: ") for line in bad)
        assert f"! worker-1 is not ready → kubectl -n {installation.namespace} describe pod worker-1" in bad
        assert all(" → kubectl " in line for line in bad)
        assert re.search(r"^worker +1/2 ", result.stdout, re.MULTILINE)
        assert re.search(r"^redis +DOWN .*nothing is lost", result.stdout, re.MULTILINE)
        assert result.stdout.splitlines()[-1] == "Degraded (2 findings)"
    finally:
        redis_server.start()
        installation.run_worker("worker-1")
        until(lambda: installation.behind["operator-0"].readiness().get("status") == "ready", what="all is well again")
        installation.refresh()
    assert status(installation).exit_code == 0


def test_a_task_that_is_not_ready_is_told_and_degrades_nothing(installation: Installation) -> None:
    apply(installation, task("orphan", pipelineRef={"name": "nowhere"}))
    try:
        expected = f"· task {installation.namespace}/orphan: PipelineNotFound: "
        until(lambda: expected in status(installation).stdout, what="the task is told")
        result = status(installation)
        assert result.exit_code == 0
        assert f"→ kubectl ordinaut why {installation.namespace}/orphan" in result.stdout
    finally:
        installation.control_plane.kubectl("delete", "-n", installation.namespace, "otask", "orphan")


def test_without_rights_nothing_can_be_told(installation: Installation) -> None:
    nobody = installation.control_plane.kubeconfig_for("nobody", installation.namespace)
    result = run(installation, "status", KUBECONFIG=str(nobody))
    assert result.exit_code == 2
    assert "cannot look for the installation: deployments.apps is forbidden" in result.stderr
    assert "docs/plugin.md" in result.stderr


def test_with_few_rights_it_says_what_it_could_not_see(installation: Installation) -> None:
    space = installation.namespace
    few = installation.control_plane.kubeconfig_for("few", space)
    with bound(installation, "few", "--verb=list", "--resource=pods,deployments.apps"):
        result = run(installation, "status", "--kubeconfig", str(few))
    assert result.exit_code == 0, result.output
    assert f"in namespace {space} " in result.stdout
    assert re.search(
        r"^\? not seen: readiness and metrics of the processes: .*cannot get resource", result.stdout, re.MULTILINE
    )
    assert re.search(r"^\? not seen: lease: ", result.stdout, re.MULTILINE)


@contextmanager
def bound(installation: Installation, account: str, *rights: str) -> Iterator[None]:
    kubectl, space = installation.control_plane.kubectl, installation.namespace
    kubectl("create", "-n", space, "role", account, *rights)
    kubectl("create", "-n", space, "rolebinding", account, f"--role={account}", f"--serviceaccount={space}:{account}")
    try:
        yield
    finally:
        kubectl("delete", "-n", space, "role,rolebinding", account)


def test_where_nothing_is_installed_it_says_so(installation: Installation) -> None:
    result = run(installation, "status", "-n", "default")
    assert result.exit_code == 2
    assert "no installation of Ordinaut is in namespace default" in result.stderr


def test_a_cluster_that_is_away_is_told(installation: Installation, tmp_path: Path) -> None:
    config = json.loads(installation.control_plane.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "config").write_text(json.dumps(config))
    result = run(installation, "status", "--kubeconfig", str(tmp_path / "config"))
    assert result.exit_code == 2
    assert "cannot ask the API server: " in result.stderr
    result = run(installation, "status", "--context", "nobody")
    assert result.exit_code == 2
    assert 'context "nobody" does not exist' in result.stderr


# ---------------------------------------------------------------- through port-forward, as a service account


def test_the_plugin_finds_the_api_and_says_how_to_log_in(installation: Installation, tmp_path: Path) -> None:
    environment = {**os.environ, **installation.environment, "ORDINAUT_CONFIG": str(tmp_path / "none.yaml")}
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "get", "tasks"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"log in with `kubectl ordinaut login kubernetes://{installation.namespace}/ordinaut-api" in done.stderr


def test_the_real_kubectl_understands_what_it_is_asked_to_forward(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path(installation.environment[nodeless.REAL])
    monkeypatch.setenv("PATH", f"{real.parent}{os.pathsep}{os.environ['PATH']}")
    access = Access(kubeconfig=str(installation.control_plane.kubeconfig))
    # It finds the Service, its port by name and a pod behind it; only a node to ask is missing here.
    with pytest.raises(KubectlError, match="api-0 does not have a host assigned"):
        Forward(Address(installation.namespace, "ordinaut-api"), access).port()


def test_why_tells_what_forbids_a_run_and_what_to_type(logged_in: Installation) -> None:
    space = logged_in.namespace
    apply(logged_in, task("lonely", pipelineRef={"name": "nowhere"}, schedules=[{"cron": "0 0 1 1 *"}]))
    until(lambda: run(logged_in, "get", "task", "lonely").exit_code == 0, what="the task has arrived")
    result = run(logged_in, "why", f"{space}/lonely")
    assert result.exit_code == 0, result.output
    assert f"Task {space}/lonely: NotReady" in result.stdout
    assert "! it is not ready, so nothing of it starts: PipelineNotFound: " in result.stdout

    result = run(logged_in, "why", "lonley")
    assert result.exit_code == 1
    assert "did you mean lonely?" in result.stderr


def test_why_tells_of_a_run_that_failed(logged_in: Installation) -> None:
    apply(logged_in, task("broken", {"id": "break", "uses": "std.fail", "with": {"message": "no luck"}}))
    until(lambda: run(logged_in, "get", "task", "broken").exit_code == 0, what="the task has arrived")
    made = run(logged_in, "run", "broken", "--wait")
    assert made.exit_code == 1
    name = re.search(r"run (\S+) created", made.stdout)[1]  # type: ignore[index]

    of_task, of_run = run(logged_in, "why", "broken"), run(logged_in, "why", "run", name)
    space = logged_in.namespace
    assert f"its last run {name} ended" in of_task.stdout
    assert f"→ ordinaut why run {name} -n {space}" in of_task.stdout
    failed = rf"^! it failed at \S+ \(.*\): StepFailed: step break: no luck → ordinaut retry {name} -n {space}$"
    assert re.search(failed, of_run.stdout, re.MULTILINE)


def test_logs_follow_a_task_over_its_runs(logged_in: Installation) -> None:
    apply(logged_in, task("talk", LOG, params={"who": "you"}))
    until(lambda: run(logged_in, "get", "task", "talk").exit_code == 0, what="the task has arrived")
    first = run(logged_in, "run", "talk", "--wait", "-o", "json")
    assert first.exit_code == 0, first.output
    environment = {**os.environ, **logged_in.environment}
    following = subprocess.Popen(
        [sys.executable, "-c", MAIN, "logs", "-f", "talk", "-o", "json"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert following.stdout is not None
        assert [json.loads(following.stdout.readline())["text"] for _ in range(3)][1] == "hello you"
        run(logged_in, "run", "talk", "-p", "who=them")
        entries = [json.loads(following.stdout.readline()) for _ in range(3)]
        assert [one["phase"] for one in entries] == ["Pending", "Succeeded", "Succeeded"]
        assert entries[1]["text"] == "hello them"
        assert entries[2]["text"].startswith("run Succeeded after ")
        kubectl = psutil.Process(following.pid).children(recursive=True)
        following.send_signal(signal.SIGTERM)
        assert following.wait(20) == 128 + signal.SIGTERM
        assert kubectl
        until(lambda: not any(one.is_running() for one in kubectl), what="kubectl has ended too")
    finally:
        following.terminate()  # not killed: it would leave its kubectl behind
        following.communicate(timeout=20)
    once = run(logged_in, "logs", "talk", "--runs", "2")
    assert [line.split()[2:4] for line in once.stdout.splitlines() if "say" in line] == [["✓", "say"], ["✓", "say"]]


# ---------------------------------------------------------------- the support bundle


CANARY = re.compile(rb"canary-[a-z]+")


@pytest.fixture(scope="module")
def with_canaries(installation: Installation) -> Installation:
    """The installation, with secrets wherever people leave them."""
    space, labels = installation.namespace, installation.labels("api")
    post = installation.control_plane.call
    secret = {"metadata": {"name": "db", "labels": labels}, "stringData": {"uri": "canary-secret"}}
    post("POST", f"/api/v1/namespaces/{space}/secrets", secret)
    settings = {"metadata": {"name": "settings", "labels": labels}, "data": {"key.pem": "canary-settings"}}
    post("POST", f"/api/v1/namespaces/{space}/configmaps", settings)
    step = {**LOG, "with": {"message": "Authorization: Bearer canary-logged", "token": "canary-input"}}
    told = task("careless", step, params={"who": "canary-params"}, schedules=[{"cron": "0 0 1 1 *"}])
    told["metadata"]["annotations"] = {"note": "canary-note"}
    tool = {"http": {"url": "http://tools.example/x?key=canary-query", "headers": {"X-Api-Key": "canary-header"}}}
    apply(
        installation,
        told,
        {"apiVersion": "ordinaut.io/v1alpha1", "kind": "Tool", "metadata": {"name": "t"}, "spec": tool},
    )
    with log_of(installation.behind["worker-0"]).open("a") as log:
        log.write('{"event": "odd", "url": "postgresql://user:canary-password@db/x", "api_key": "canary-key"}\n')
        log.write("Authorization: Bearer canary-bearer\n")
        log.write('{"event": "std.log", "message": "canary-message", "task": "careless"}\n')
    return installation


def contents(bundle: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def test_a_report_holds_what_helps_and_no_secret(with_canaries: Installation, tmp_path: Path) -> None:
    file = tmp_path / "report.zip"
    result = run(with_canaries, "report", "-n", with_canaries.namespace, "--logs", "--since", "1h", "-f", str(file))
    assert result.exit_code == 0, result.output
    found = contents(file)
    assert {name: CANARY.findall(text) for name, text in found.items() if CANARY.search(text)} == {}
    expected = {
        *("summary.txt", "status.yaml", "versions.yaml", "skipped.txt", "events.yaml", "SHA256SUMS"),
        *(
            "manifests/deployments/ordinaut-operator.yaml",
            "manifests/pods/worker-1.yaml",
            "manifests/services/ordinaut-api.yaml",
        ),
        *("manifests/leases/ordinaut-operator.yaml", "manifests/configmaps/settings.yaml"),
        *("manifests/customresourcedefinitions/tasks.ordinaut.io.yaml", "metrics/operator-0.prom"),
        *("resources/tasks.yaml", "resources/tools.yaml", "logs/worker-0/worker.jsonl"),
    }
    assert expected <= found.keys()
    assert found["skipped.txt"] == b"nothing\n"
    operator = yaml.safe_load(found["manifests/deployments/ordinaut-operator.yaml"])
    variables = operator["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {one["name"]: one["value"] for one in variables} == {
        "ORDINAUT_WATCH_NAMESPACES": f'["{with_canaries.namespace}"]',
        "ORDINAUT_OIDC_ISSUER": "https://REDACTED@issuer.example",
        "API_PASSWORD": "REDACTED",
    }
    careless = next(
        one for one in yaml.safe_load(found["resources/tasks.yaml"])["items"] if one["metadata"]["name"] == "careless"
    )
    assert careless["spec"]["params"] == {"who": "REDACTED"}
    assert careless["spec"]["pipeline"]["steps"][0]["with"] == {"message": "REDACTED", "token": "REDACTED"}
    assert careless["spec"]["schedules"] == [{"cron": "0 0 1 1 *"}]
    assert b'"event":"odd"' in found["logs/worker-0/worker.jsonl"]


def test_redaction_can_be_stopped_after_a_warning_and_still_no_secret_is_read(
    with_canaries: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "report.zip"
    result = run(with_canaries, "report", "-n", with_canaries.namespace, "--logs", "--stop-redaction", "-f", str(file))
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("warning: --stop-redaction: ")
    canaries = {one for text in contents(file).values() for one in CANARY.findall(text)}
    assert b"canary-secret" not in canaries
    assert {b"canary-variable", b"canary-params", b"canary-input", b"canary-message", b"canary-header"} <= canaries


def test_a_report_works_with_the_least_rights_and_tells_what_is_missing(
    with_canaries: Installation, tmp_path: Path
) -> None:
    least = with_canaries.control_plane.kubeconfig_for("least", with_canaries.namespace)
    file = tmp_path / "report.zip"
    with bound(with_canaries, "least", "--verb=list", "--resource=deployments.apps"):
        result = run(with_canaries, "report", "--kubeconfig", str(least), "-f", str(file))
    assert result.exit_code == 0, result.output
    found = contents(file)
    assert "manifests/deployments/ordinaut-api.yaml" in found
    skipped = found["skipped.txt"].decode()
    assert re.search(r"^pods: pods is forbidden: .*cannot list resource", skipped, re.MULTILINE)
    assert re.search(r"^tasks: tasks\.ordinaut\.io is forbidden", skipped, re.MULTILINE)
    assert b"Cannot tell: too little could be seen" in found["summary.txt"]


def test_the_roles_of_the_page_are_enough(with_canaries: Installation, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "plugin.md").read_text()
    roles = re.search(r"```yaml\n(apiVersion: rbac.*?)```", page, re.DOTALL)
    assert roles is not None
    kubectl, space = with_canaries.control_plane.kubectl, with_canaries.namespace
    kubectl("apply", "-f", "-", stdin=roles[1])
    account = f"--serviceaccount={space}:support"
    kubectl("create", "-n", space, "rolebinding", "support", "--clusterrole=ordinaut-support", account)
    kubectl("create", "clusterrolebinding", f"support-{space}", "--clusterrole=ordinaut-support-cluster", account)
    kubeconfig = str(with_canaries.control_plane.kubeconfig_for("support", space))

    seen = status(with_canaries, "--kubeconfig", kubeconfig, "-o", "json")
    assert json.loads(seen.stdout)["items"][0]["notSeen"] == []
    result = run(
        with_canaries, "report", "-n", space, "--logs", "--kubeconfig", kubeconfig, "-f", str(tmp_path / "r.zip")
    )
    assert result.exit_code == 0, result.output
    assert contents(tmp_path / "r.zip")["skipped.txt"] == b"nothing\n"


def test_a_report_is_never_written_over_a_file(with_canaries: Installation, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("precious")
    result = run(with_canaries, "report", "-f", str(tmp_path / "there"))
    assert (result.exit_code, (tmp_path / "there").read_text()) == (2, "precious")


def test_secrets_are_never_asked_for(with_canaries: Installation, tmp_path: Path) -> None:
    before = with_canaries.control_plane.requests("secrets", verb="LIST") + with_canaries.control_plane.requests(
        "secrets", verb="GET"
    )
    assert run(with_canaries, "report", "-n", with_canaries.namespace, "-f", str(tmp_path / "r.zip")).exit_code == 0
    after = with_canaries.control_plane.requests("secrets", verb="LIST") + with_canaries.control_plane.requests(
        "secrets", verb="GET"
    )
    assert after == before
