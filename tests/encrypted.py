"""
TLS in front of PostgreSQL and Valkey, which tests have without: what a server in a cluster asks of its clients.

A :class:`Front` listens on loopback, shows a certificate, and hands on to a server that knows no TLS. With
``postgres=True`` the encryption is asked for as PostgreSQL's protocol does it; whoever does not ask is hung up on.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from tests.cluster.certificates import CertificateAuthority

_SSL_REQUEST = (8).to_bytes(4) + (80877103).to_bytes(4)
_GSS_REQUEST = (8).to_bytes(4) + (80877104).to_bytes(4)


class Front:
    """Listens as long as the context lasts; ``reach`` opens a connection to the server behind it."""

    def __init__(
        self, authority: CertificateAuthority, *, reach: Callable[[], socket.socket], postgres: bool = False
    ) -> None:
        pair = authority.issue("postgres" if postgres else "valkey", addresses=["127.0.0.1"])
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pair.certificate, pair.key)
        self._reach = reach
        self._postgres = postgres
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.served = 0
        """Connections that were encrypted and handed on."""
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._over = False

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hang_up(self._listener)
        with self._lock:
            self._over = True
            for one in self._open:
                self._hang_up(one)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=[client], daemon=True))
                self._threads[-1].start()

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), plain:
            with self._known(plain):
                if self._postgres and not self._asked_for(plain):
                    return
            encrypted = self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
            with encrypted as client, self._reach() as server, self._known(client, server):
                client.do_handshake()
                self.served += 1
                back = threading.Thread(target=self._pump, args=[server, client], daemon=True)
                back.start()
                self._pump(client, server)
                back.join()

    @contextlib.contextmanager
    def _known(self, *sockets: socket.socket) -> Iterator[None]:
        """Have sockets hung up at the end of the context, also those that come just then."""
        with self._lock:
            self._open |= set(sockets)
            if self._over:
                for one in sockets:
                    self._hang_up(one)
        try:
            yield
        finally:
            with self._lock:
                self._open -= set(sockets)

    @staticmethod
    def _asked_for(client: socket.socket) -> bool:
        """Answer what comes before the encryption; tell whether it is wanted."""
        while (request := client.recv(8, socket.MSG_WAITALL)) == _GSS_REQUEST:
            client.sendall(b"N")
        client.sendall(b"S" if request == _SSL_REQUEST else b"")
        return request == _SSL_REQUEST

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        self._hang_up(source)
        self._hang_up(target)

    @staticmethod
    def _hang_up(one: socket.socket) -> None:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
