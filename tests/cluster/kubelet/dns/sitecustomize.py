"""
Names of Services in the processes of pods: Python imports this at their start, since `images` puts it in their path.

It asks `services.Services` of the node, which also says the port: what kube-proxy does between a Service and its pods
is done here by answering with another port. All other names are left to the machine.
"""

import os
import socket
import urllib.error
import urllib.request
from typing import Any

_plain = socket.getaddrinfo


def _getaddrinfo(host: Any, port: Any, *more: Any, **named: Any) -> Any:
    node = os.environ.get("NODE_SERVICES", "")
    if not node or not isinstance(host, str) or not host[:1].isalpha() or "." not in host:
        return _plain(host, port, *more, **named)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{node}/{host}/{port}", timeout=10) as answer:
            address, port = answer.read().decode().split()
    except urllib.error.HTTPError as error:
        error.close()
        return _plain(host, port, *more, **named)
    return _plain(address, int(port), *more, **named)


socket.getaddrinfo = _getaddrinfo
