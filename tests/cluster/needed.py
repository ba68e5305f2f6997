"""
What tests need and a machine may lack: programs, and definitions of other projects.

`tests/conftest.py` calls `fetch` before a test runs; fixtures that need a program get it inside of `needed`.
"""

import contextlib
import os
from collections.abc import Collection, Iterator

import pytest

from tests import pooler
from tests.cluster import binaries, foreigncrds
from tests.cluster.errors import MissingProgramError

CONTROL_PLANE = ("etcd", "kube-apiserver", "kubectl")

PROGRAMS = {
    "control_plane": CONTROL_PLANE,
    "cluster_with_everything": CONTROL_PLANE,
    "node": ("kube-controller-manager",),
    "helms": ("helm3", "helm4"),
    "promtool": ("promtool",),
}
"""By the fixture that needs them."""


def fetch(fixtures: Collection[str]) -> None:
    """Get what fixtures need: a build takes minutes, and would count against the time limit of the first test."""
    programs = {program for fixture in fixtures for program in PROGRAMS.get(fixture, ())}
    with contextlib.suppress(MissingProgramError):  # the fixtures say so, at each test that needs them
        binaries.provide(sorted(programs))
        if "cluster_with_everything" in fixtures:
            foreigncrds.provide()
        if "pooled" in fixtures:
            pooler.provide()


@contextlib.contextmanager
def needed() -> Iterator[None]:
    """Skip the test where what the context asks for cannot be had; fail it there in CI."""
    try:
        yield
    except MissingProgramError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
