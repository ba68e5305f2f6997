"""
Probes of containers: asked over HTTP as the pod says, more often than it says, and no less patiently.

A test would wait ten seconds for a period of ten; so every probe is asked several times a second, and has failed when
it failed for as long as a kubelet would take to find out.
"""

import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from tests.cluster.kubelet.objects import Object

_EVERY = 0.2  # seconds


@dataclass
class Probe:
    """A probe of one container since its start."""

    declared: Object
    url: str
    passed: bool = False
    """Whether it succeeded as often in a row as it must, and has not failed since."""
    _good: int = 0
    _asked: float = 0.0
    _failing_since: float = field(default_factory=time.monotonic)

    @property
    def failed(self) -> bool:
        """Whether it failed for so long that it counts."""
        patience = int(self.declared.get("failureThreshold", 3)) * float(self.declared.get("periodSeconds", 10))
        return not self._good and time.monotonic() - self._failing_since > patience

    def ask(self) -> None:
        """Ask, if it is time to."""
        if time.monotonic() - self._asked < _EVERY:
            return
        if self._answers():
            self._good += 1
            self._failing_since = time.monotonic()
        else:
            self._good = 0
        self._asked = time.monotonic()
        self.passed = (self.passed and not self.failed) or self._good >= int(self.declared.get("successThreshold", 1))

    def _answers(self) -> bool:
        timeout = max(2.0, float(self.declared.get("timeoutSeconds", 1)))
        try:
            with urllib.request.urlopen(self.url, timeout=timeout) as answer:
                return bool(HTTPStatus.OK <= answer.status < HTTPStatus.BAD_REQUEST)
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except OSError:
            return False


def probe(kind: str, *, container: Object, address: str) -> Probe | None:
    """Return the `startupProbe`, `readinessProbe` or `livenessProbe` of a container, None if it has none."""
    declared: Any = container.get(kind)
    if declared is None:
        return None
    target = declared["httpGet"]  # the only kind that Ordinaut uses
    port = target["port"]
    if isinstance(port, str):
        port = next(one["containerPort"] for one in container["ports"] if one["name"] == port)
    scheme = target.get("scheme", "HTTP").lower()
    return Probe(declared, f"{scheme}://{target.get('host', address)}:{port}{target.get('path', '/')}")
