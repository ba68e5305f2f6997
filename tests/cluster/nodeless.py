"""
A kubectl for clusters without nodes: what would lead into a pod leads to a process on this machine instead.

The API server refuses to proxy to pods on loopback addresses, and there is no kubelet behind it. :func:`install` puts a
program called kubectl first on PATH. It passes everything on to the real kubectl but three things: requests for the
port of a pod and for its log within ``kubectl proxy``, and ``kubectl port-forward``. A file says which process stands
for which pod, and may be changed at any time: what is not in it is answered as by an API server without nodes.
"""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

REAL = "NODELESS_KUBECTL"
PLACES = "NODELESS_PLACES"

_POD = re.compile(r"/api/v1/namespaces/([^/]+)/pods/([^/:]+):(\w+)/proxy/(.*)")
_LOG = re.compile(r"/api/v1/namespaces/([^/]+)/pods/([^/:]+)/log\??")


class Places:
    """Which process stands for which pod or Service; read by each request anew."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, **places: dict[str, Any]) -> None:
        """Say where ``pods`` and ``services`` listen and where the ``logs`` of pods are, each by NAMESPACE/NAME."""
        self.path.write_text(json.dumps(places))

    def calls(self) -> list[str]:
        """Return what kubectl was asked for so far, the first word of each call."""
        return self.path.with_suffix(".calls").read_text().splitlines()

    def called(self, word: str) -> None:
        """Note that kubectl was asked for something."""
        with self.path.with_suffix(".calls").open("a") as calls:
            calls.write(f"{word}\n")

    def find(self, kind: str, name: str) -> Any:
        """Return where something is, None if it is nowhere."""
        return json.loads(self.path.read_text()).get(kind, {}).get(name)


def install(folder: Path, *, kubectl: Path, kubeconfig: Path) -> tuple[dict[str, str], Places]:
    """Write the program into a folder; returns the environment that finds it, and what may be said to it."""
    folder.mkdir(exist_ok=True)
    program = folder / "kubectl"
    root = Path(__file__).parents[2]
    program.write_text(f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} -m tests.cluster.nodeless "$@"\n')
    program.chmod(0o755)
    places = Places(folder / "places.json")
    places.write()
    places.path.with_suffix(".calls").touch()
    environment = {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "KUBECONFIG": str(kubeconfig),
        REAL: str(kubectl),
        PLACES: str(places.path),
    }
    return environment, places


def main() -> None:
    """Do what kubectl was asked to."""
    real, arguments = os.environ[REAL], sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    places = Places(Path(os.environ[PLACES]))
    places.called(arguments[0])
    match arguments[:1]:
        case ["proxy"]:
            proxy(real, arguments, places)
        case ["port-forward"]:
            forward(arguments, places)
        case _:
            os.execv(real, [real, *arguments])


# -- kubectl proxy -----------------------------------------------------------------------------------------------------


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    behind: str
    places: Places


def proxy(real: str, arguments: list[str], places: Places) -> None:
    """Serve on the socket that was asked for, with the real ``kubectl proxy`` behind."""
    flag = next(one for one in arguments if one.startswith("--unix-socket="))
    path = flag.partition("=")[2]
    passed = [f"{one}.real" if one == flag else one for one in arguments]
    child = subprocess.Popen([real, *passed], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        announced = child.stdout.readline()
        if not announced:
            sys.exit(child.wait())
        with _Server(path, _Handler) as server:
            server.behind, server.places = f"{path}.real", places
            print(announced.replace(".real", "").rstrip(), flush=True)
            server.serve_forever()
    finally:
        child.terminate()
        child.wait()


class _Behind(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        # Also what the API server can't do: whether the caller may is its business.
        behind = _Behind(self.server.behind)
        with contextlib.closing(behind):
            behind.request("GET", self.path, headers={"Host": "localhost", "Accept": self.headers["Accept"]})
            answer = behind.getresponse()
            body = answer.read()
        pod, log = _POD.fullmatch(self.path), _LOG.match(self.path)
        if pod and answer.status != HTTPStatus.FORBIDDEN:
            self._pod(f"{pod[1]}/{pod[2]}", pod[4])
        elif log and answer.status != HTTPStatus.FORBIDDEN and (file := self._log(f"{log[1]}/{log[2]}")):
            self._answer(HTTPStatus.OK, file.read_bytes(), "text/plain")
        else:
            self._answer(answer.status, body, answer.headers["Content-Type"], answer.headers["Date"])

    def _log(self, name: str) -> Path | None:
        found = self.server.places.find("logs", name)
        return Path(found) if found else None

    def _pod(self, name: str, path: str) -> None:
        port = self.server.places.find("pods", name)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port or 1}/{path}", timeout=10) as answer:
                self._answer(answer.status, answer.read(), answer.headers["Content-Type"])
        except urllib.error.HTTPError as error:
            with error:
                self._answer(error.code, error.read(), error.headers["Content-Type"])
        except OSError as error:
            message = f"error trying to reach service: {error}"
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": 503}
            self._answer(503, json.dumps(status).encode(), "application/json")

    def _answer(self, status: int, body: bytes, kind: str | None, date: str | None = None) -> None:
        self.send_response_only(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), ("Date", date)):
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "socket"

    def log_message(self, *_: object) -> None:
        """Say nothing."""


# -- kubectl port-forward ----------------------------------------------------------------------------------------------


def forward(arguments: list[str], places: Places) -> None:
    """Pass connections to a port of its own on to the process that stands for the Service, as long as it is there."""
    namespace = next(one.partition("=")[2] for one in arguments if one.startswith("--namespace="))
    service = next(one.partition("/")[2] for one in arguments if one.startswith("service/"))
    port = places.find("services", f"{namespace}/{service}")
    if port is None:
        sys.exit(f'Error from server (NotFound): services "{service}" not found')
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"Forwarding from 127.0.0.1:{listener.getsockname()[1]} -> 8080", flush=True)
        while True:
            near, _ = listener.accept()
            print("Handling connection for 8080", flush=True)
            far = socket.create_connection(("127.0.0.1", port))
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main()
