"""
Fixtures of the tests that install the chart: one API server with controllers and a node for all of them.

All tests of this package carry `xdist_group("chart")`, so that they share one worker, and with it the control plane,
the node, and the one place where a chart with cluster-wide objects can be installed at a time.
"""

import contextlib
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path

import pytest
import redis

from tests import servers
from tests.chart import release
from tests.chart.release import Release
from tests.chart.users import Users
from tests.cluster import binaries
from tests.cluster.controlplane import ControlPlane
from tests.cluster.kubelet.images import Images
from tests.cluster.kubelet.node import CONTROLLERS, Node
from tests.cluster.needed import needed

TREE = Path(__file__).parents[2]
OURS = f"app.kubernetes.io/instance={release.NAME}"
IMAGE = "ghcr.io/ordinaut/ordinaut:0.1.0"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the pods wrote with the failure of a test that used them."""
    report = yield
    node = getattr(item, "funcargs", {}).get("node")
    if report.failed and node:
        report.sections.append(("Pods", node.logs()))
    return report


@pytest.fixture(scope="package")
def control_plane() -> Iterator[ControlPlane]:
    """A control plane with controllers that remembers who asked for what; skips, in CI fails, where it can't be had."""
    running = ControlPlane(controller_manager=True, controllers=CONTROLLERS, audited=True)
    with needed():
        running.start()
    yield running
    running.stop()


@pytest.fixture(scope="package")
def node(control_plane: ControlPlane) -> Iterator[Node]:
    """The node whose pods are processes of this machine; the image is this tree."""
    if sys.platform != "linux":
        pytest.skip("only on Linux has each pod an address of its own on the loopback interface")
    with Node(control_plane, Images({IMAGE: TREE})) as running:
        yield running


@pytest.fixture(scope="package")
def helms(control_plane: ControlPlane) -> Mapping[str, Path]:
    """Both majors of helm by name; the namespace of releases is made with them."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    control_plane.call("POST", "/api/v1/namespaces", {"metadata": {"name": release.NAMESPACE, "labels": labels}})
    with needed():
        return binaries.provide(["helm3", "helm4"])


Releases = Callable[[str], contextlib.AbstractContextManager[Release]]


@pytest.fixture(scope="package")
def releases(
    helms: Mapping[str, Path], control_plane: ControlPlane, node: Node, postgres_url: str, _valkey_server: str
) -> Releases:
    """Give the release of a helm an empty database and an empty Valkey, and take it away when the context ends."""

    @contextlib.contextmanager
    def releasing(helm: str) -> Iterator[Release]:
        with redis.Redis.from_url(_valkey_server) as client:
            client.flushall()
        with servers.database(postgres_url, template="template0") as database:
            made = Release(helms[helm], control_plane, node, database=database, redis=_valkey_server)
            try:
                yield made
            finally:
                made.uninstall()
            left = {kind.rpartition("/")[2] for kind, *_ in release.everything(control_plane, selector=OURS)}
            # The Job of a hook goes by itself; the CRDs stay.
            assert left <= {"customresourcedefinitions", "jobs", "pods"}

    return releasing


@pytest.fixture(scope="package")
def new_users(control_plane: ControlPlane) -> Callable[[], contextlib.AbstractContextManager[Users]]:
    """Make a fresh namespace for users; what they applied is deleted when the context ends."""

    @contextlib.contextmanager
    def making() -> Iterator[Users]:
        made = Users(control_plane, control_plane.namespace("users"))
        try:
            yield made
        finally:
            made.clear()

    return making


@pytest.fixture
def users(new_users: Callable[[], contextlib.AbstractContextManager[Users]]) -> Iterator[Users]:
    """The users of a fresh namespace."""
    with new_users() as made:
        yield made
