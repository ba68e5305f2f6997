"""Whatever callers write, the log stays one JSON object a line, and no terminal is told anything (attack 20)."""

import json

import pytest

from tests.declaring import task
from tests.running import until
from tests.security.sockets import Served
from tests.security.tenants import OURS, path_of

pytestmark = pytest.mark.integration

FORGED = '"}\n{"event": "forged", "level": "info", "process": "api"}\r\n\x1b[2J\x1b]0;owned\x07\u2028\u202e'
QUOTED = FORGED.replace("\n", "%0a").replace("\r", "%0d").replace('"', "%22").replace(" ", "%20")
ON_THE_WIRE = FORGED.replace("\r\n", " ").replace("\n", " ").encode()


def test_no_name_header_or_param_forges_a_line(served: Served) -> None:
    wire = QUOTED.encode("ascii", "ignore").replace(b"\x1b", b"%1b").replace(b"\x07", b"%07")
    for target in (b"/" + wire, b"/v1/namespaces/" + wire + b"/tasks", b"/v1/namespaces/team-a/tasks/" + wire):
        for method in (b"GET", b"PUT", b"POST", b"DELETE"):
            served.send(served.request(target, method=method))
    for header in (b"User-Agent", b"X-Request-ID", b"Idempotency-Key", b"If-Match", b"Referer", b"Origin", b"Accept"):
        served.get(b"/v1/namespaces/team-a/tasks", header + b": " + ON_THE_WIRE)
        run = served.request(b"/v1/namespaces/team-a/tasks/none/run", header + b": " + ON_THE_WIRE, method=b"POST")
        served.send(run)
    served.send(served.request(b"/v1/namespaces/team-a/tasks", method=b"FORGED\x1b[2J"))
    served.send(b"\x1b[2J nonsense \r\n\r\n")
    document = task("ok", {"id": "s", "uses": "std.log", "with": {"message": FORGED}}, params={FORGED[:50]: FORGED})
    document["metadata"]["namespace"] = OURS
    document["metadata"]["annotations"] = {"a": FORGED}
    served.call("editor-a", "PUT", path_of("tasks", "ok"), json=document)
    served.call("editor-a", "POST", path_of("tasks", "ok", "run"), json={"params": {"x": FORGED}})
    served.call("editor-a", "POST", path_of("events"), json={"type": FORGED, "data": {}})
    served.call("editor-a", "PUT", path_of("tasks", "wrong"), json={**document, "kind": FORGED, FORGED: FORGED})
    last = served.call("editor-a", "DELETE", path_of("tasks", "ok"), headers={"X-Request-ID": "the-last-one"})
    assert last.status_code == 204
    assert served.is_well()

    log = until(lambda: "the-last-one" in (text := whole_log(served)) and text, what=served.process.log)
    for line in log.removesuffix("\n").split("\n"):
        entry = json.loads(line)
        assert entry["process"] == "api"
        assert entry["event"] != "forged"
        assert line.isascii() and line.isprintable(), ascii(line)  # noqa: PT018 - one thing: nothing a terminal obeys
    assert "POST" in log


def test_a_token_that_is_no_token_is_not_logged(served: Served) -> None:
    for value in ("canary-in-a-header", f"{served.access.tokens['admin-a']}-canary"):
        assert (
            served.call(None, "GET", path_of("tasks"), headers={"Authorization": f"Bearer {value}"}).status_code == 401
        )
    assert served.call("admin-a", "GET", "/nowhere", headers={"X-Request-ID": "the-last-one"}).status_code == 404
    assert served.call("admin-a", "POST", "/nowhere", headers={"X-Request-ID": "the-last-one"}).status_code == 404
    log = until(lambda: "the-last-one" in (text := whole_log(served)) and text, what=served.process.log)
    assert "canary" not in log
    assert served.access.tokens["admin-a"] not in log


def whole_log(served: Served) -> str:
    """Return everything that the process has written."""
    return (served.process.group.directory / f"{served.process.name}.log").read_text(encoding="utf-8")
