"""
One session of ``ordinaut dev``, from the first server to the last.

Everything started here is stopped here, in order: workers finish what they hold, then the others end, then the servers.
Ctrl-C and SIGTERM cancel the session's task, so that the same way out is taken from every point.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ordinaut
from ordinaut.process import stop
from ordinaut.settings import BY_PARTS, database_by_parts
from ordinaut_cli import asking, database, times
from ordinaut_cli.commands import describe
from ordinaut_cli.dev import folder, logs, publishing, servers
from ordinaut_cli.dev.console import DevConsole
from ordinaut_cli.dev.events import Tail
from ordinaut_cli.dev.folder import DataFolder
from ordinaut_cli.dev.processes import Supervisor, is_free
from ordinaut_cli.dev.programs import Urls, programs
from ordinaut_cli.dev.readiness import until_ready, until_runnable
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.target import Target

DRAIN: Final = 30.0
"""Seconds that workers have to finish their runs."""

STOP: Final = 10.0
"""Seconds that the others have to end."""

NEWS: Final = 3.0
"""Seconds that the end of a run may take from the database to the screen."""


@dataclass(frozen=True, slots=True)
class Options:
    """
    What the session was asked for.

    ``publish`` is a file of events to publish at once, ``run`` a task to run then; ``once`` ends the session after that
    run.
    """

    directory: Path
    data: Path
    port: int
    workers: int
    run: str | None
    once: bool
    publish: Path | None
    verbose: bool
    namespace: str = "default"


def run(options: Options) -> Any:
    """Run a session until it is told to stop; returns the run that was waited for, with ``once``."""
    if not is_free(options.port):
        raise CommandError(
            f"--port: {options.port}: something listens there already; stop it or choose another port",
            exit_code=WRONG_INPUT,
        )
    with folder.held(options.data) as data:
        return asyncio.run(_Session(options, data).run())


class _Session:
    def __init__(self, options: Options, data: DataFolder) -> None:
        self._options = options
        self._data = data
        self._console = DevConsole()
        self._api = f"http://127.0.0.1:{options.port}"
        self._supervisor: Supervisor | None = None
        self._stopping = False

    async def run(self) -> Any:
        """Live, and end in order when a signal comes."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio.run made it
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._stop, task)
        try:
            return await self._live()
        except asyncio.CancelledError:
            return None

    def _stop(self, task: asyncio.Task[Any]) -> None:
        if self._stopping:
            # On its way out already, but somebody is in a hurry. What workers held is found by the next ones.
            if self._supervisor:
                self._supervisor.kill()
            else:
                task.cancel()
            return
        self._stopping = True
        task.cancel()
        with contextlib.suppress(OSError):  # after SIGHUP, there is no terminal any more
            self._console.blank()
            self._console.say("stopping: workers finish what they hold (Ctrl-C again: at once)")

    async def _live(self) -> Any:
        self._console.heading(version=ordinaut.__version__, directory=shown(self._options.directory))
        async with contextlib.AsyncExitStack() as stack:
            urls = await self._start_servers(stack)
            with self._console.part("migrations"):
                await database.apply_migrations(urls.database)
            tail = Tail(urls.redis, show=self._console.event)
            stack.push_async_callback(tail.close)
            started = programs(
                urls=urls,
                data=self._data,
                directory=self._options.directory,
                api_port=self._options.port,
                workers=self._options.workers,
            )
            supervisor = await stack.enter_async_context(self._supervised())
            for program in started:
                logs.begin(program.log)
            await supervisor.start(started)
            others: list[Coroutine[Any, Any, Any]] = [supervisor.failure()]
            if self._options.verbose:
                others.append(logs.follow([one.log for one in started], show=self._console.log_line))

            async def show() -> Any:
                for program in started:
                    with self._console.part(program.name) as notes:
                        await until_ready(program)
                        if program.name == "api":
                            notes.append(self._api)
                return await first(self._show(tail), tail.follow())

            return await first(show(), *others)

    async def _start_servers(self, stack: contextlib.AsyncExitStack) -> Urls:
        database_url, redis_url = given("DATABASE_URL"), given("REDIS_URL")
        if database_url is None and database_by_parts():
            database_url = BY_PARTS
        if database_url is None:
            with self._console.part("PostgreSQL") as notes:
                database_url = await stack.enter_async_context(servers.postgres(self._data.postgres))
                notes.append(shown(self._data.postgres))
        if not redis_url:
            with self._console.part("Valkey") as notes:
                redis_url = await stack.enter_async_context(servers.valkey(self._data.valkey))
                notes += [shown(self._data.valkey), redis_url]
        return Urls(database=database_url, redis=redis_url)

    @contextlib.asynccontextmanager
    async def _supervised(self) -> AsyncIterator[Supervisor]:
        self._supervisor = Supervisor(tell=self._console.notice)
        try:
            yield self._supervisor
        finally:
            names = self._supervisor.names
            await self._supervisor.stop([name for name in names if name.startswith("worker")], grace=DRAIN)
            await self._supervisor.stop(names, grace=STOP)
            self._supervisor.close()

    async def _show(self, tail: Tail) -> Any:
        """Publish, do the run that was asked for, and with ``once`` return it; say where to look."""
        self._console.blank()
        if self._options.publish:
            async with asking.connected(Target(self._api, self._options.namespace)) as client:
                await publishing.publish(client, self._options.publish, directory=self._options.directory)
        if self._options.run:
            over = await self._run(self._options.run, tail)
            self._console.blank()
            describe.run(over, console=self._console.rich, now=times.now())
            self._console.blank()
            if self._options.once:
                self._console.say(f"The history stays in {shown(self._data.root)}; without --once all keeps running.")
                return over
        self._console.look_here(api=self._api, logs=shown(self._data.logs), task=self._options.run)
        await asyncio.Event().wait()
        return None

    async def _run(self, task: str, tail: Tail) -> Any:
        async with asking.connected(Target(self._api, self._options.namespace)) as client:
            await until_runnable(client, task)
            made: Any = await client.tasks.run(task)
            name = made["metadata"]["name"]
            made = await client.runs.wait(name)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(NEWS):
                await tail.ended(name)
        return made


async def first(*coroutines: Coroutine[Any, Any, Any]) -> Any:
    """Run all until one of them ends, and return or raise what it did; the others are cancelled."""
    tasks = [asyncio.create_task(one) for one in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        await stop(*tasks)
        await asyncio.gather(*tasks, return_exceptions=True)


def given(name: str) -> str | None:
    """Return a setting of the environment, by the same names as the processes take."""
    return os.environ.get(f"ORDINAUT_{name}") or os.environ.get(name) or None


def shown(path: Path) -> str:
    """Return a path as short as it can be written here."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
