"""
Finds the programs that tests run against on any machine, so that nothing has to be set up by hand.

They are those of a Kubernetes control plane, helm in its two majors, and promtool. `ControlPlane` and the fixtures ask
for them by name; each is looked for in this order:

1. the folder named by `KUBEBUILDER_ASSETS` (the convention of envtest),
2. `PATH`, for etcd and kubectl only,
3. the cache, `~/.cache/ordinaut/<module>-<version>`,
4. the official envtest archive of the same minor version (`envtest`), which fills the cache,
5. a build with Go from the pinned modules in `tools/` (`gobuild`), which fills the cache.

What is in none of them raises `MissingProgramError` with the reason of each source. Versions are those pinned in
`tools/`.
"""

import fcntl
import functools
import json
import logging
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import envtest, gobuild
from tests.cluster.errors import MissingProgramError

log = logging.getLogger(__name__)

_OLDEST_KUBECTL = (1, 28)  # the first whose `auth whoami` and server-side dry run behave as the tests expect


def kubernetes_version() -> str:
    """The pinned version of Kubernetes, such as `1.36.3`, from the module that builds it."""
    return gobuild.PROGRAMS["kube-apiserver"].version


def cache_directory() -> Path:
    """Where what was downloaded or built once is kept."""
    return Path.home() / ".cache" / "ordinaut"


def provide(wanted: Iterable[str], *, cache: Path | None = None) -> dict[str, Path]:
    """Return the path of each wanted program; download or build what is missing. The first call may take minutes."""
    wanted = list(wanted)
    cache = cache or cache_directory()
    if not _missing(wanted, cache=cache):
        return _found(wanted, cache=cache)
    cache.mkdir(parents=True, exist_ok=True)
    reasons = []
    with locked(cache / "programs.lock"):
        for source in (_download, _build):
            if not (missing := _missing(wanted, cache=cache)):
                break
            try:
                source(missing, cache)
            except MissingProgramError as error:
                log.info("%s", error)
                reasons.append(str(error))
    if missing := _missing(wanted, cache=cache):
        raise MissingProgramError(f"no {', '.join(missing)} for the tests: " + "; ".join(reasons))
    return _found(wanted, cache=cache)


def _download(missing: list[str], cache: Path) -> None:
    if wanted := [name for name in missing if name in envtest.PROGRAMS]:
        folder = _folder(wanted[0], cache=cache)
        folder.mkdir(exist_ok=True)
        # All of them: they come in one archive.
        envtest.download(list(envtest.PROGRAMS), folder, kubernetes_version())


def _build(missing: list[str], cache: Path) -> None:
    folders = {name: _folder(name, cache=cache) for name in missing}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    gobuild.build(missing, folders)


def _folder(name: str, *, cache: Path) -> Path:
    """Return where a program is kept; those of a control plane are together, as in the archive of envtest."""
    program = gobuild.PROGRAMS[name]
    if program.module in {".", "etcd"}:
        return cache / f"kube-{kubernetes_version()}"
    return cache / f"{program.module}-{program.version}"


def _found(names: Iterable[str], *, cache: Path) -> dict[str, Path]:
    return {name: path for name in names if (path := _locate(name, cache=cache))}


def _missing(names: Iterable[str], *, cache: Path) -> list[str]:
    return [name for name in names if not _locate(name, cache=cache)]


def _locate(name: str, *, cache: Path) -> Path | None:
    if path := shutil.which(name, path=os.environ.get("KUBEBUILDER_ASSETS", "")):
        return Path(path)
    if name in {"etcd", "kubectl"} and (path := shutil.which(name)) and _fit(Path(path)):
        return Path(path)
    path = shutil.which(name, path=str(_folder(name, cache=cache)))
    return Path(path) if path else None


@functools.cache
def _fit(program: Path) -> bool:
    """Whether a program found on PATH may be used: an etcd of any version may, a kubectl must be recent enough."""
    if program.name != "kubectl":
        return True
    try:
        command: list[str | Path] = [program, "version", "--client", "--output=json"]
        answer = subprocess.run(command, capture_output=True, check=True, timeout=30)
        version = json.loads(answer.stdout)["clientVersion"]
        return (int(version["major"]), int(re.sub(r"\D", "", version["minor"]))) >= _OLDEST_KUBECTL
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return False


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock across processes, so that parallel test workers download or build once."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
