"""The probes: what liveness tells."""

import asyncio
import threading
import urllib.error
import urllib.request
from collections.abc import Callable

from ordinaut.probes import Readiness, serve
from tests.running import until


def answers(port: int) -> bool:
    """Whether ``/healthz`` says within half a second that the process is alive."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=0.5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def test_a_process_whose_loop_is_stuck_is_not_alive() -> None:
    ports: list[int] = []
    loops: list[asyncio.AbstractEventLoop] = []
    stops: list[Callable[[], None]] = []
    stuck, freed = threading.Event(), threading.Event()

    async def process() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with serve(Readiness(), host="127.0.0.1", port=0) as port:
            stops.append(lambda: loop.call_soon_threadsafe(stop.set))
            loops.append(loop)
            ports.append(port)
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(process()))
    thread.start()
    try:
        until(lambda: ports and answers(ports[0]), what="the probes")
        loops[0].call_soon_threadsafe(lambda: (stuck.set(), freed.wait(30)))
        assert stuck.wait(30)
        assert not answers(ports[0])
        freed.set()
        until(lambda: answers(ports[0]), what="the loop to go on")
    finally:
        freed.set()
        stops[0]()
        thread.join()
