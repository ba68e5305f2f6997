"""
Gets the custom resource definitions of other projects, so that what the chart writes for them is checked for real.

The chart renders objects of the Prometheus operator, KEDA, CloudNativePG, the Gateway API, the Grafana operator and
Cilium. Their definitions are files in Go modules, pinned with checksums in `tools/crds`; `go mod download` fetches and
verifies them, nothing is built. The few files that count are kept in the cache beside the programs of `binaries`; the
tests of the chart apply them to their API server.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cluster import binaries, gobuild
from tests.cluster.errors import MissingProgramError

_FILES = {
    "github.com/cilium/cilium": ["pkg/k8s/apis/cilium.io/client/crds/v2/ciliumnetworkpolicies.yaml"],
    "github.com/cloudnative-pg/cloudnative-pg": ["config/crd/bases/postgresql.cnpg.io_clusters.yaml"],
    "github.com/grafana/grafana-operator/v5": ["config/crd/bases/grafana.integreatly.org_grafanadashboards.yaml"],
    "github.com/kedacore/keda/v2": [
        "config/crd/bases/keda.sh_scaledobjects.yaml",
        "config/crd/bases/keda.sh_triggerauthentications.yaml",
    ],
    "github.com/prometheus-operator/prometheus-operator": [
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ],
    "sigs.k8s.io/gateway-api": ["config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"],
}

_MODULE = gobuild.TOOLS / "crds"


def provide() -> Path:
    """Return a folder with the definitions, one a file; the first call downloads about 60 MB."""
    folder = binaries.cache_directory() / f"crds-{_fingerprint()}"
    if folder.is_dir():
        return folder
    binaries.cache_directory().mkdir(parents=True, exist_ok=True)
    with binaries.locked(binaries.cache_directory() / "crds.lock"):
        if not folder.is_dir():
            _fill(folder)
    return folder


def _fingerprint() -> str:
    """Return what changes with the pinned versions and with the files that are taken."""
    return hashlib.sha256((_MODULE / "go.sum").read_bytes() + json.dumps(_FILES).encode()).hexdigest()[:12]


def _fill(folder: Path) -> None:
    """Copy all files to a folder beside, then rename it: what was interrupted leaves nothing half-made."""
    making = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    for module, source in _download().items():
        for file in _FILES[module]:
            # Not the permissions: files in Go's module cache are read-only.
            shutil.copyfile(source / file, making / Path(file).name)
    making.rename(folder)


def _download() -> dict[str, Path]:
    """Return the folder of each module."""
    go = shutil.which("go", path=os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)]))
    if not go:
        raise MissingProgramError("no `go` to download the resource definitions of other projects with (install Go)")
    pinned = dict(re.findall(r"^\t(\S+) (v\S+)$", (_MODULE / "go.mod").read_text(), re.MULTILINE))
    command = [go, "mod", "download", "-json", *(f"{module}@{pinned[module]}" for module in _FILES)]
    done = subprocess.run(
        command, cwd=_MODULE, env=os.environ | {"GOWORK": "off"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise MissingProgramError(f"`go mod download` failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    decoder, text, folders = json.JSONDecoder(), done.stdout.strip(), {}
    while text:  # one JSON object after another
        answer, end = decoder.raw_decode(text)
        folders[answer["Path"]] = Path(answer["Dir"])
        text = text[end:].strip()
    return folders
