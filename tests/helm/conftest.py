"""Fixtures of the tests of the chart: both majors of helm, and quick ways to render with the newer one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import binaries, foreigncrds
from tests.cluster.controlplane import ControlPlane
from tests.cluster.needed import needed
from tests.helm.rendering import MAJORS, Helm, Object, Refused, explained


@pytest.fixture(scope="session")
def helms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Helm]:
    """Both majors of helm by name; skips where they cannot be had, fails there in CI."""
    with needed():
        programs = binaries.provide(MAJORS)
    home: Path = tmp_path_factory.mktemp("helm")
    return {name: Helm(path, home=home / name) for name, path in programs.items()}


@pytest.fixture(params=MAJORS)
def any_helm(request: pytest.FixtureRequest, helms: dict[str, Helm]) -> Helm:
    """Each major of helm in turn."""
    return helms[request.param]


@pytest.fixture
def render(helms: dict[str, Helm]) -> Callable[..., list[Object]]:
    """
    Render the chart: `render(values, helm="helm4", release=…, namespace=…)` returns the objects.

    `values` are a dictionary, a file, the short name of a file in the chart's `ci/`, or None for the defaults.
    """

    def rendered(values: Any = None, *, helm: str = "helm4", **options: Any) -> list[Object]:
        return helms[helm].objects(values, **options)

    return rendered


@pytest.fixture
def refused(helms: dict[str, Helm]) -> Callable[..., str]:
    """Render values that must be refused, and return the message that a user sees."""

    def message(values: Any = None, *, helm: str = "helm4", **options: Any) -> str:
        with pytest.raises(Refused) as caught:
            helms[helm].text(values, **options)
        return explained(caught.value)

    return message


@pytest.fixture
def notes(helms: dict[str, Helm]) -> Callable[..., str]:
    """Return what helm prints after an installation with these values."""

    def printed(values: Any = None, *, helm: str = "helm4") -> str:
        return helms[helm].notes(values)

    return printed


@pytest.fixture(scope="package")
def cluster_with_everything() -> Iterator[ControlPlane]:
    """A control plane that knows the kinds of all projects that the chart renders objects for."""
    running = ControlPlane()
    with needed():
        definitions = foreigncrds.provide()
        running.start()
    try:
        running.kubectl("apply", "--server-side", f"--filename={definitions}")
        running.wait_for_definitions()
        yield running
    finally:
        running.stop()
