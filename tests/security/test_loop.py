"""
The event loop of the api is never kept from others for more than 20 ms by what somebody sends it.

The api runs as a process of its own with a meter in its loop (``metered``); the worst that callers can think of is sent
to it from several connections at once.
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from ordinaut_api import body
from tests import timing
from tests.declaring import manifest, task
from tests.running import Processes, until
from tests.security import metered
from tests.security.sockets import Served, serve
from tests.security.tenants import OURS, Access, path_of

pytestmark = pytest.mark.integration

LIMIT: Final = 0.020
"""Seconds between two rounds of the loop, where nothing else competes for the machine."""

CLOCK, TOLERATED = ("process", LIMIT) if timing.PATIENCE == 1 else ("thread", 2.5 * LIMIT)
"""
What is held: the CPU of the whole process, which is what others wait for. Where other tests compete for the caches and
the other core, the CPU of the loop's own thread, stretched as it is there.
"""

CONNECTIONS: Final = 4
REPEATS: Final = 2

LOG = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}


@dataclass(frozen=True)
class Request:
    """A request to send again and again; the body is bytes, so that sending costs this process nothing."""

    method: str
    path: str
    content: bytes = b""
    media: str = "application/json"


@dataclass(frozen=True)
class Metered:
    """The api and its meter."""

    served: Served
    file: Path

    def gaps(self) -> list[dict[str, float]]:
        """Return the gaps noted so far, and forget them."""
        noted = [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []
        os.truncate(self.file, 0)
        return noted

    def attack(self, *requests: Request) -> dict[int, int]:
        """Send requests over several connections at once; return how many answers there were of each status."""
        seen: dict[int, int] = {}

        def send(_connection: int) -> None:
            with httpx2.Client(base_url=self.served.url, headers=self.served.access.headers("admin-a")) as client:
                for request in requests * REPEATS:
                    headers = {"content-type": request.media} if request.content else {}
                    answer = client.request(
                        request.method, request.path, content=request.content, headers=headers, timeout=60
                    )
                    seen[answer.status_code] = seen.get(answer.status_code, 0) + 1

        with ThreadPoolExecutor(CONNECTIONS) as threads:
            list(threads.map(send, range(CONNECTIONS)))
        return seen


@pytest.fixture
def api(processes: Processes, access: Access, tmp_path: Path) -> Metered:
    """The metered api, with a few hundred objects in it."""
    file = tmp_path / "gaps"
    file.touch()
    processes.environment[metered.FILE] = str(file)
    found = Metered(serve(processes, access, module="tests.security.metered"), file)
    items = [task(f"t{number}", LOG, schedules=[{"cron": f"{number % 60} 8 * * 1-5"}]) for number in range(500)]
    for one in items:
        one["metadata"]["namespace"] = OURS
    answer = found.served.call("admin-a", "POST", path_of("tasks:batch"), json={"items": items})
    assert answer.is_success, answer.text[:500]
    return found


def dumped(document: Any) -> bytes:
    return json.dumps(document).encode()


def hostile(name: str = "hostile", **spec: Any) -> dict[str, Any]:
    document = task(name, **({} if "pipeline" in spec else {"pipeline": {"steps": [LOG]}}), **spec)
    document["metadata"]["namespace"] = OURS
    return document


def put(document: dict[str, Any]) -> Request:
    collection = {"Task": "tasks", "Pipeline": "pipelines", "Tool": "tools"}[document["kind"]]
    return Request("PUT", path_of(collection, document["metadata"]["name"]), dumped(document))


def nested(depth: int, width: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] * width
    return value


FULL = body.MAX_BODY - 500
WIDE_SCHEMA = {
    "type": "object",
    "properties": {f"p{number}": {"type": "string", "pattern": "^(a|b)*c$", "maxLength": 9} for number in range(2000)},
}
DATES = [
    f"{year}-{month:02}-{day:02}T09:00:00"
    for year in range(2027, 2032)
    for month in range(1, 9)
    for day in range(1, 26)
]
DEEP_SCHEMA: dict[str, Any] = {"type": "string"}
for _ in range(30):
    DEEP_SCHEMA = {"anyOf": [DEEP_SCHEMA, {"type": "null"}]}

ATTACKS: dict[str, list[Request]] = {
    "256 KiB of nested lists": [
        Request("PUT", path_of("tasks", "x"), b'{"spec": ' + b"[" * 60 + b"1," * 120_000 + b"1" + b"]" * 60 + b"}"),
        Request("PUT", path_of("tasks", "x"), b'{"spec": [' + b"[[[[]]]]," * 28_000 + b"1]}"),
        Request("PUT", path_of("tasks", "x"), b'{"spec": {' + b",".join(b'"%d":{}' % n for n in range(20_000)) + b"}}"),
    ],
    "256 KiB of text": [put(hostile(params={"p": "x" * FULL})), put(hostile(params={"p": "\u20ac" * (FULL // 6)}))],
    "many mistakes": [
        Request("PUT", path_of("tasks", "x"), dumped(hostile(**{f"field{number}": 1 for number in range(9_000)}))),
        put(hostile(pipeline={"steps": [{"id": f"s{n}", "nonsense": n} for n in range(5_000)]})),
        put(hostile(schedules=[{"cron": "* * * *"}] * 5_000)),
    ],
    "hostile schedules": [
        put(hostile(schedules=[{"cron": "," * 10_240}])),
        put(hostile(schedules=[{"cron": "*," * 5_000 + "* * * * *"}])),
        put(hostile(schedules=[{"rrule": "FREQ=DAILY;BYDAY=" + ",".join(["MO"] * 20_000)}])),
        put(hostile(schedules=[{"rrule": "FREQ=DAILY", "exdates": ["2026-11-23T09:00:00"] * 8_000}])),
        put(
            hostile(
                schedules=[{"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO", "timeZone": "Asia/Tokyo"}] * 10
            )
        ),
        put(hostile(schedules=[{"rrule": f"FREQ=MINUTELY;COUNT={10**18};BYDAY=MO"}] * 10)),
        put(hostile(schedules=[{"rrule": "FREQ=DAILY", "rdates": DATES, "exdates": DATES}] * 5)),
    ],
    "hostile schemas": [
        put(manifest("Tool", "hostile", {"http": {"url": "http://x/"}, "inputSchema": WIDE_SCHEMA}, namespace=OURS)),
        put(manifest("Tool", "hostile", {"http": {"url": "http://x/"}, "inputSchema": DEEP_SCHEMA}, namespace=OURS)),
        put(
            manifest(
                "Pipeline",
                "hostile",
                {"steps": [LOG], "params": {"enum": [{"a": number} for number in range(15_000)]}},
                namespace=OURS,
            )
        ),
        put(
            manifest(
                "Tool",
                "hostile",
                {"http": {"url": "http://x/"}, "outputSchema": {"pattern": "(a+)+$" * 2000, "type": "string"}},
                namespace=OURS,
            )
        ),
    ],
    "hostile templates": [
        put(hostile(pipeline={"steps": [{**LOG, "with": {"message": "${" + "[" * 3000 + "}"}}]})),
        put(hostile(pipeline={"steps": [{**LOG, "with": {"message": "${a}" * 60_000}}]})),
        put(hostile(pipeline={"steps": [{**LOG, "with": {"message": "$" * FULL}}]})),
        put(
            hostile(
                pipeline={
                    "steps": [
                        {"id": f"s{n}", "uses": "std.log", "with": {"message": "${params." + "a.b" * 100 + "}"}}
                        for n in range(500)
                    ]
                }
            )
        ),
    ],
    "batches of 1,000": [
        Request(
            "POST",
            path_of("tasks:batch"),
            dumped(
                {"items": [hostile(f"b{n}", schedules=[{"cron": f"{n % 60} {n % 24} * * *"}]) for n in range(1000)]}
            ),
        ),
        Request("POST", path_of("tasks:batch"), dumped({"items": [hostile(f"b{n}", wrong=n) for n in range(1000)]})),
        Request("POST", path_of("tasks:batch"), b'{"items": [' + b"{}," * 90_000 + b"{}]}"),
        Request("POST", path_of("tasks:batch"), b'{"items": ["' + b"x" * 2_000_000 + b'"]}'),
    ],
    "long looks ahead": [
        *(
            put(hostile(f"look{number}", schedules=[{"rrule": rule}]))
            for number, rule in enumerate(
                (
                    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO",
                    "FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO;BYHOUR=3;BYMINUTE=7",
                    "FREQ=WEEKLY;INTERVAL=53;BYMONTH=2;BYDAY=MO",
                    "FREQ=DAILY;INTERVAL=18250",
                )
            )
        ),
        *(Request("GET", path_of("tasks", f"look{number}", "preview?count=100")) for number in range(4)),
        *(Request("GET", path_of("tasks", f"look{number}")) for number in range(4)),
    ],
    "long lists": [
        Request("GET", path_of("tasks?limit=500")),
        Request("GET", path_of("events?limit=500")),
        Request("GET", path_of("audit?limit=500")),
        Request("GET", path_of("runs?limit=500")),
    ],
    "many events": [
        Request(
            "POST",
            path_of("events"),
            dumped({"items": [{"type": "a.b", "data": [number] * 400} for number in range(100)]}),
        ),
    ],
    "long queries": [
        Request("GET", path_of("tasks?cursor=" + "A" * 30_000)),
        Request("GET", path_of("tasks?" + "&".join(f"a{number}=1" for number in range(4_000)))),
        Request("GET", path_of("tasks", "a" * 30_000)),
    ],
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_event_loop_is_never_kept_for_long(api: Metered, attack: str) -> None:
    api.attack(Request("GET", path_of("tasks", "t1")), Request("GET", path_of("tasks?limit=2")))  # everything is loaded
    api.gaps()
    seen = api.attack(*ATTACKS[attack])
    gaps = api.gaps()
    clocks = ("thread", "process", "wall")
    worst = {clock: round(max((gap[clock] for gap in gaps), default=0) * 1000, 1) for clock in clocks}
    print(f"{attack}: answers {seen}, gaps in ms {worst}, {len(gaps)} over {metered.NOTED * 1000:.0f} ms")
    assert all(status < 500 for status in seen), seen
    assert worst[CLOCK] <= TOLERATED * 1000
    until(api.served.is_well, what="the api to be well")
