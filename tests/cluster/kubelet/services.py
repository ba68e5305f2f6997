"""
Says which pod answers for a Service: what cluster DNS and kube-proxy do in a cluster.

Names of Services mean nothing on the machine. The processes of pods ask here instead (`dns/sitecustomize`), and tests
call `resolve` themselves. A Service is found by its name, its pods by its selector, and their port by its `targetPort`:
a chart whose Service misses its pods is found out.
"""

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.cluster.kubelet.objects import Object, Objects
from tests.cluster.kubelet.pods import PodLife


class Unreachable(Exception):
    """No Service of that name, or no ready pod behind it."""


class Services:
    """Answers `GET /<host>/<port>` with address and port of a pod, from `start` to `close`."""

    def __init__(self, objects: Objects, lives: Callable[[], Iterator[PodLife]]) -> None:
        self._objects = objects
        self._lives = lives
        self._turn = itertools.count()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.told: Mapping[str, str] = {"NODE_SERVICES": f"http://127.0.0.1:{self._server.server_port}"}
        """What a process must be told so that it asks here."""

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def resolve(self, host: str, port: int) -> tuple[str, int]:
        """Return address and port of a ready pod of a Service (`name.namespace[.svc[.…]]`); raises `Unreachable`."""
        name, namespace, *_ = [*host.split("."), ""]
        service = self._objects.service(namespace=namespace, name=name)
        if service is None:
            raise Unreachable(f'no Service "{name}" in the namespace "{namespace}"')
        targets = {one["port"]: one.get("targetPort", one["port"]) for one in service["spec"]["ports"]}
        if port not in targets:
            raise Unreachable(f'the Service "{name}" has no port {port}')
        ready = [one for one in self._lives() if one.ready and _selected(one.pod, service)]
        if not ready:
            raise Unreachable(f'no pod of the Service "{name}" is ready')
        chosen = ready[next(self._turn) % len(ready)]
        return chosen.address, _port(chosen.pod, targets[port])

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        services = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                _, host, port = self.path.split("/")
                try:
                    address, target = services.resolve(host, int(port))
                    status, said = HTTPStatus.OK, f"{address} {target}"
                except Unreachable as error:
                    status, said = HTTPStatus.NOT_FOUND, str(error)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(said.encode())

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _selected(pod: Object, service: Object) -> bool:
    metadata = pod["metadata"]
    labels, selector = metadata.get("labels", {}), service["spec"].get("selector", {})
    return bool(metadata["namespace"] == service["metadata"]["namespace"] and selector.items() <= labels.items())


def _port(pod: Object, target: object) -> int:
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports", ())]
    found = (port["containerPort"] for port in ports if target in {port.get("name"), port["containerPort"]})
    port = next(found, target)
    if not isinstance(port, int):
        raise Unreachable(f"the pod has no port {target}")
    return port
