"""
Fixtures of the cluster tests: one control plane for all of them, a fresh namespace for each test.

Tests that use them carry `pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]`: with `--dist
loadgroup` they share one worker, and so one control plane, which is stopped after the last of them: an idle API server
takes a tenth of a CPU from all others.
"""

from collections.abc import Generator, Iterator

import pytest

from tests.cluster.controlplane import ControlPlane
from tests.cluster.needed import needed


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of the control plane with the failure of a test that used it."""
    report = yield
    control_plane = getattr(item, "funcargs", {}).get("control_plane")
    if report.failed and control_plane:
        report.sections.append(("Control plane", control_plane.logs()))
    return report


@pytest.fixture(scope="package")
def control_plane() -> Iterator[ControlPlane]:
    """A running control plane; skips where its programs cannot be had, fails there in CI."""
    running = ControlPlane()
    with needed():
        running.start()
    yield running
    running.stop()


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    """The name of a fresh namespace; it goes with the control plane."""
    return control_plane.namespace()
