"""The way to an API inside of a cluster: addresses, contexts, and a kubectl that serves."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner, Result

from ordinaut_cli import contexts
from ordinaut_cli.app import app
from ordinaut_cli.cluster import address, kubectl
from ordinaut_cli.cluster.address import Address
from ordinaut_cli.cluster.forward import Forward, ForwardedTransport
from ordinaut_cli.cluster.kubectl import Access, KubectlError, Serving
from ordinaut_cli.contexts import Config, Context
from ordinaut_cli.errors import CommandError
from ordinaut_cli.target import NOTHING, Target, choose, decide

SERVICE = "kubernetes://ordinaut/ordinaut-api"

Fake = Callable[[str], Path]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Put a kubectl on PATH, given as a script of sh; what it is called with is in the file `calls` beside it."""

    def install(script: str) -> Path:
        program = tmp_path / "bin" / "kubectl"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n{script}\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        return tmp_path / "calls"

    return install


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        (SERVICE, Address("ordinaut", "ordinaut-api", "http")),
        ("kubernetes://ordinaut/ordinaut-api/", Address("ordinaut", "ordinaut-api", "http")),
        ("kubernetes://a/b:8080", Address("a", "b", "8080")),
        ("kubernetes://a/b:web", Address("a", "b", "web")),
    ],
)
def test_an_address_names_a_service(url: str, meant: Address) -> None:
    assert address.parse(url) == meant
    assert address.parse(str(meant)) == meant


@pytest.mark.parametrize("where", ["a", "a/b/c", "A/b", "a/--all", "a/b:", ""])
def test_what_is_no_address_is_told_with_the_form(where: str) -> None:
    with pytest.raises(CommandError, match="write kubernetes://NAMESPACE/SERVICE"):
        address.parse(f"kubernetes://{where}")


def test_the_only_api_is_found_by_its_labels(fake: Fake) -> None:
    service = {"metadata": {"namespace": "prod", "name": "x-api"}, "spec": {"ports": [{"name": "http", "port": 80}]}}
    calls = fake(f"echo '{json.dumps({'items': [service]})}'")
    assert address.resolved("kubernetes://", Access("east")) == Address("prod", "x-api")
    assert "--context=east" in calls.read_text()
    assert address.SELECTOR in calls.read_text()


def test_none_or_several_apis_are_told() -> None:
    with pytest.raises(CommandError, match="no API of Ordinaut is in this cluster"):
        address.chosen([])
    with pytest.raises(CommandError, match=r"name one with --api: kubernetes://a/x, kubernetes://b/x"):
        address.chosen([Address("b", "x"), Address("a", "x")])


def test_who_may_not_look_for_it_is_told_what_to_do(fake: Fake) -> None:
    fake('echo "Error from server (Forbidden): services is forbidden" >&2; exit 1')
    with pytest.raises(CommandError) as caught:
        address.discover(Access())
    assert caught.value.lines[0] == "kubectl get: services is forbidden"
    assert "--api kubernetes://NAMESPACE/SERVICE" in caught.value.lines[1]


# ---------------------------------------------------------------- contexts and targets


def test_a_context_keeps_the_cluster_it_was_made_for(fake: Fake) -> None:
    fake("echo east")
    assert run("config", "set-context", "inside", "--api", SERVICE, "--namespace", "team-a").exit_code == 0
    assert contexts.load().contexts["inside"] == Context(SERVICE, "team-a", kube_context="east")
    assert run("config", "set-context", "inside", "--kube-context", "west").exit_code == 0
    assert contexts.load().contexts["inside"].kube_context == "west"
    assert run("config", "set-context", "inside", "--namespace", "team-b").exit_code == 0
    assert contexts.load().contexts["inside"] == Context(SERVICE, "team-b", kube_context="west")
    shown = decide(contexts.load(), {}, api=None, namespace=None, context=None)
    assert shown == Target(SERVICE, "team-b", kube_context="west")


def test_another_api_is_not_looked_for_in_the_contexts_cluster() -> None:
    config = Config("c", {"c": Context(SERVICE, token_command="make", kube_context="east")})
    other = decide(config, {}, api="kubernetes://x/y", namespace=None, context=None)
    assert other == Target("kubernetes://x/y", "default")


def test_a_cluster_is_named_only_for_an_api_inside_of_one(config_file: Path) -> None:
    result = run("config", "set-context", "a", "--api", "https://a.test", "--kube-context", "east")
    assert (result.exit_code, result.stderr) == (
        2,
        "--kube-context: https://a.test is reached without kubectl; leave it out, or write --api"
        " kubernetes://NAMESPACE/SERVICE\n",
    )
    config_file.parent.mkdir(exist_ok=True)
    config_file.write_text("contexts: {a: {api: 'https://a.test', kubeContext: east}}\n")
    result = run("config", "view")
    assert result.exit_code == 2
    assert "contexts.a.kubeContext: only for an api of the form kubernetes://" in result.stderr


def test_a_plugin_without_contexts_takes_the_api_in_kubectls_cluster(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake('case "$*" in *current-context*) echo east;; *) echo team-a;; esac')
    assert choose() == NOTHING
    monkeypatch.setattr(sys, "argv", ["/usr/local/bin/kubectl-ordinaut"])
    assert choose() == Target("kubernetes://", "team-a", kube_context="east")
    assert choose(namespace="x") == Target("kubernetes://", "x", kube_context="east")
    assert choose(api="https://a.test").api == "https://a.test"
    with contexts.edited() as box:
        box[0] = Config("c", {"c": Context("https://c.test")})
    assert choose() == Target("https://c.test", "default")


def test_a_plugin_without_a_kubeconfig_takes_this_machine(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake("exit 1")
    monkeypatch.setattr(sys, "argv", ["kubectl-ordinaut"])
    assert choose() == NOTHING


def test_a_cluster_that_kubectl_does_not_know_is_no_place_to_log_in(fake: Fake) -> None:
    fake('echo "error: context nobody not found" >&2; exit 1')
    result = run("login", SERVICE, "--kubernetes", "--kube-context", "nobody")
    assert result.exit_code == 1
    assert "context nobody not found" in result.stderr
    assert contexts.load() == Config()


def test_without_a_cluster_status_asks_nobody(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    calls = fake("exit 1")
    result = run("status")
    assert result.exit_code == 2
    assert result.stderr.startswith("kubectl knows no cluster")
    assert calls.read_text().splitlines() == ["config current-context"]


# ---------------------------------------------------------------- kubectl


SERVES = 'echo "starting"; echo "ready at 17"; exec sleep 60'


def test_a_kubectl_that_serves_is_ready_when_it_says_so_and_gone_when_closed(fake: Fake) -> None:
    fake(SERVES)
    serving = Serving(Access().command("proxy"), announces=r"ready at (\d+)")
    assert (serving.said[1], serving.alive) == ("17", True)
    serving.close()
    assert not serving.alive


def test_one_that_ends_before_it_serves_is_told_in_its_own_words(fake: Fake) -> None:
    fake("echo 'warning: old' >&2; echo 'error: no such service' >&2; exit 1")
    with pytest.raises(KubectlError, match=r"^kubectl proxy: no such service$"):
        Serving(Access().command("proxy"), announces="ready")


def test_one_that_never_says_it_is_ready_is_given_up(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake("exec sleep 60")
    monkeypatch.setattr(kubectl, "SERVE_WITHIN", 0.2)
    with pytest.raises(KubectlError, match=r"it was not ready within 0\.2 s"):
        Serving(Access().command("proxy"), announces="ready")


def test_a_machine_without_kubectl_is_told_where_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for attempt in (
        lambda: kubectl.ask(Access(), "version"),
        lambda: Serving(Access().command("proxy"), announces="x"),
    ):
        with pytest.raises(KubectlError, match="cannot run kubectl: No such file or directory"):
            attempt()
    assert (kubectl.current_context(), kubectl.current_namespace(Access())) == (None, None)


def test_a_program_that_is_ended_leaves_no_kubectl_behind(fake: Fake, tmp_path: Path) -> None:
    fake(f"echo $$ > {tmp_path}/pid; {SERVES}")
    text = "from ordinaut_cli.cluster.kubectl import Access, Serving; import time\n" \
           "s = Serving(Access().command('proxy'), announces='ready')\n" \
           "try:\n print('up', flush=True); time.sleep(60)\n" \
           "finally:\n s.close()\n"  # fmt: skip
    program = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    assert program.stdout.readline() == "up\n"
    program.send_signal(signal.SIGTERM)
    assert program.wait(20) == 128 + signal.SIGTERM
    program.stdout.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


FORWARDS = 'echo "Forwarding from 127.0.0.1:$PORT -> 8080"; exec sleep 60'


async def test_requests_go_through_the_port_that_kubectl_has_opened(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fake(FORWARDS)
    monkeypatch.setenv("PORT", "17")
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200)

    forward = Forward(Address("ordinaut", "ordinaut-api"), Access("east"))
    transport = ForwardedTransport(forward, httpx2.MockTransport(answer))
    async with httpx2.AsyncClient(base_url="http://ordinaut-api.ordinaut", transport=transport) as client:
        await client.get("/v1/whoami")
        await client.get("/v1/whoami")
    assert [(str(one.url), one.headers["host"]) for one in seen] == [
        ("http://127.0.0.1:17/v1/whoami", "127.0.0.1:17")
    ] * 2
    assert calls.read_text().splitlines() == [
        "port-forward --namespace=ordinaut --address=127.0.0.1 service/ordinaut-api :http --context=east"
    ]


async def test_no_token_goes_to_a_port_that_kubectl_has_left(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake('echo "Forwarding from 127.0.0.1:$PORT -> 8080"; echo "lost connection to pod" >&2')
    seen: list[int | None] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.url.port)
        return httpx2.Response(200)

    monkeypatch.setenv("PORT", "17")
    forward = Forward(Address("ordinaut", "ordinaut-api"), Access())
    transport = ForwardedTransport(forward, httpx2.MockTransport(answer))
    async with httpx2.AsyncClient(base_url="http://ordinaut-api.ordinaut", transport=transport) as client:
        await client.get("/")
        _gone(forward)
        fake(FORWARDS)
        monkeypatch.setenv("PORT", "18")
        await client.get("/")
        forward.close()
        fake("echo 'error: no pod' >&2; exit 1")
        with pytest.raises(KubectlError, match="no pod"):
            await client.get("/")
    assert seen == [17, 18]


def _gone(forward: Forward) -> None:
    deadline = time.monotonic() + 10
    while forward._serving is not None and forward._serving.alive:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert forward.complaint == "lost connection to pod"
