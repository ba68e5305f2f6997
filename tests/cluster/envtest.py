"""
Downloads the control plane that the Kubernetes project publishes for tests, as `setup-envtest` does.

Called by `binaries` under its lock. The official index maps versions to archives and their SHA-512; the newest patch
of the pinned minor version is taken, checked against its hash, and unpacked into the program cache. Archives hold
etcd, kube-apiserver and kubectl. A machine without access learns so within seconds.
"""

import hashlib
import io
import platform
import re
import tarfile
from pathlib import Path
from typing import Any

import httpx2
import yaml

from tests.cluster.errors import MissingProgramError

PROGRAMS = ("etcd", "kube-apiserver", "kubectl")
"""What the archives hold."""

INDEX = "https://raw.githubusercontent.com/kubernetes-sigs/controller-tools/HEAD/envtest-releases.yaml"

_TIMEOUT = httpx2.Timeout(20, connect=3)  # seconds; only a machine without access waits for the connection

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def download(names: list[str], cache: Path, version: str) -> None:
    """Put those of the named programs that the archive of `version`'s minor release holds into `cache`."""
    try:
        with httpx2.Client(timeout=_TIMEOUT, follow_redirects=True) as client:
            releases = yaml.safe_load(client.get(INDEX).raise_for_status().content)["releases"]
            archive = _newest_patch(releases, version)
            content = client.get(archive["selfLink"]).raise_for_status().content
    except (httpx2.HTTPError, yaml.YAMLError, KeyError, TypeError) as error:
        raise MissingProgramError(f"the envtest archive cannot be downloaded ({error!r})") from error
    if hashlib.sha512(content).hexdigest() != archive["hash"]:
        raise MissingProgramError(f"{archive['selfLink']} does not have the hash that its index names")
    _unpack(content, names, cache)


def _newest_patch(releases: dict[str, Any], version: str) -> dict[str, str]:
    minor = re.escape(version.rpartition(".")[0])
    patches = [name for name in releases if re.fullmatch(rf"v{minor}\.\d+", name)]
    if not patches:
        raise MissingProgramError(f"there is no envtest archive of Kubernetes {version} or another of its patches")
    newest = max(patches, key=lambda name: int(name.rpartition(".")[2]))
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    archive: dict[str, str] = releases[newest][f"envtest-{newest}-{platform.system().lower()}-{architecture}.tar.gz"]
    return archive


def _unpack(content: bytes, names: list[str], cache: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for member in archive:
            name = Path(member.name).name
            if name in names and (source := archive.extractfile(member)):
                unfinished = cache / f".{name}"
                unfinished.write_bytes(source.read())
                unfinished.chmod(0o755)
                unfinished.replace(cache / name)
