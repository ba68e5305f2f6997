"""Carrying out a run: what needs no waiting ends at once, and what does becomes a task that commits step by step."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ordinaut.engine.plan import Plan
from ordinaut.errors import LeaseLost, Permanent, Transient
from ordinaut.resources.retry import RetryStrategy
from ordinaut.states import RunPhase, StepPhase, WaitReason
from ordinaut.store.settle import Settlement
from ordinaut.store.work import LeasedWork
from ordinaut_worker.attempt import Limits
from ordinaut_worker.execute import Executor
from ordinaut_worker.tools import Call, Tool
from tests.unit.worker.works import leased, plan

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
LIMITS = Limits(step_timeout=timedelta(seconds=30), max_output_bytes=1000)


class Settled:
    """Takes the place of the settler."""

    def __init__(self) -> None:
        self.committed: list[Settlement] = []
        self.left: list[Settlement] = []
        self.holds = True

    async def commit(self, settlement: Settlement) -> bool:
        self.committed.append(settlement)
        return self.holds

    def hand_over(self, settlement: Settlement) -> None:
        self.left.append(settlement)


class Known:
    """Plans of which one is known, or is found at a second look."""

    def __init__(self, plan: Plan, *, known: bool) -> None:
        self._plan = plan
        self._known = known

    def known(self, _digest: bytes) -> Plan | None:
        return self._plan if self._known else None

    async def get(self, _digest: bytes) -> Plan:
        return self._plan


class Tools:
    """Tools ``now-…`` that are immediate, and others that are not; all answer as they are told."""

    def __init__(self, answer: Callable[[Call], Any]) -> None:
        self._answer = answer
        self.called: list[str] = []

    def at_hand(self, name: str) -> Tool | None:
        return Tool(self._now, immediate=True) if name.startswith("now") else None

    async def get(self, *, namespace: str, name: str) -> Tool:
        assert namespace == "default"
        return self.at_hand(name) or Tool(self._later)

    def _now(self, call: Call) -> Any:
        self.called.append(call.step)
        return self._answer(call)

    async def _later(self, call: Call) -> Any:
        await asyncio.sleep(0)
        return self._now(call)


class Scene:
    """An executor with everything around it."""

    def __init__(
        self, plan: Plan, *, known: bool = True, answer: Callable[[Call], Any] = lambda call: call.step
    ) -> None:
        self.settled = Settled()
        self.tools = Tools(answer)
        pool: Any = None
        settler: Any = self.settled
        plans: Any = Known(plan, known=known)
        self._executor = Executor(pool, settler=settler, plans=plans, toolbox=self.tools, limits=LIMITS)

    def begin(self, work: LeasedWork | None = None) -> Coroutine[Any, Any, None] | None:
        return self._executor.begin(work or leased())

    @property
    def result(self) -> Settlement:
        (left,) = self.settled.left
        return left


def steps(*names: str, **of_all: Any) -> list[dict[str, Any]]:
    return [{"id": name, "uses": name, **of_all} for name in names]


def phases(settlement: Settlement) -> list[tuple[str, StepPhase]]:
    return [(step.step_id, step.phase) for step in settlement.steps]


def test_a_run_of_one_immediate_step_ends_as_it_begins() -> None:
    scene = Scene(plan({"id": "a", "uses": "now", "with": {"x": "${params.city}"}}, output={"is": "${steps.a.x}"}))
    scene.tools._answer = lambda call: call.arguments

    assert scene.begin() is None

    assert scene.settled.committed == []
    assert phases(scene.result) == [("a", StepPhase.SUCCEEDED)]
    assert scene.result.run is not None
    assert (scene.result.run.phase, scene.result.run.output) == (RunPhase.SUCCEEDED, b'{"is":"Chisinau"}')
    assert [event["type"] for event in scene.result.events] == ["step.succeeded", "run.succeeded"]


def test_skipped_steps_need_no_commit_of_their_own() -> None:
    scene = Scene(plan(*steps("now-a", "now-b", **{"if": "`false`"}), *steps("now-c")))

    assert scene.begin() is None

    assert scene.tools.called == ["now-c"]
    assert [phase for _, phase in phases(scene.result)] == [StepPhase.SKIPPED, StepPhase.SKIPPED, StepPhase.SUCCEEDED]


async def test_each_result_is_committed_before_the_next_step_begins() -> None:
    scene = Scene(plan(*steps("now-a", "now-b", "now-c")))

    rest = scene.begin()
    assert rest is not None
    assert (scene.tools.called, scene.settled.committed, scene.settled.left) == (["now-a"], [], [])
    await rest

    assert [phases(one) for one in scene.settled.committed] == [
        [("now-a", StepPhase.SUCCEEDED)],
        [("now-b", StepPhase.SUCCEEDED)],
    ]
    assert phases(scene.result) == [("now-c", StepPhase.SUCCEEDED)]


async def test_who_has_lost_the_lease_begins_no_other_step() -> None:
    scene = Scene(plan(*steps("now-a", "now-b")))
    scene.settled.holds = False

    rest = scene.begin()
    assert rest is not None
    with pytest.raises(LeaseLost):
        await rest

    assert (scene.tools.called, scene.settled.left) == (["now-a"], [])


async def test_what_has_to_be_waited_for_is_not_begun_at_once() -> None:
    scene = Scene(plan(*steps("later")))

    rest = scene.begin()
    assert rest is not None
    assert (scene.tools.called, scene.settled.left) == ([], [])
    await asyncio.create_task(rest)

    assert scene.tools.called == ["later"]
    assert phases(scene.result) == [("later", StepPhase.SUCCEEDED)]


async def test_a_plan_that_is_not_here_yet_is_waited_for() -> None:
    scene = Scene(plan(*steps("now")), known=False)

    rest = scene.begin()
    assert rest is not None
    assert scene.tools.called == []
    await asyncio.create_task(rest)

    assert scene.result.run is not None
    assert scene.result.run.phase is RunPhase.SUCCEEDED


@pytest.mark.parametrize("more", [{"started_at": NOW}, {"trigger": "retry"}])
def test_a_run_that_may_have_results_is_not_begun_without_them(more: dict[str, Any]) -> None:
    scene = Scene(plan(*steps("now")))

    rest = scene.begin(leased(**more))

    assert rest is not None
    rest.close()
    assert (scene.tools.called, scene.settled.left) == ([], [])


def test_an_immediate_step_that_fails_for_good_fails_its_run() -> None:
    def refuse(_call: Call) -> Any:
        raise Permanent("no such place")

    scene = Scene(plan(*steps("now-a", "now-b")), answer=refuse)

    assert scene.begin() is None

    assert phases(scene.result) == [("now-a", StepPhase.FAILED)]
    assert scene.result.run is not None
    assert (scene.result.run.phase, scene.result.run.reason) == (RunPhase.FAILED, "StepFailed")
    assert scene.tools.called == ["now-a"]


def test_an_immediate_step_that_may_pass_waits_for_its_retry_without_this_worker() -> None:
    def busy(_call: Call) -> Any:
        raise Transient("busy", delay=timedelta(seconds=7))

    compiled = plan(*steps("now"))
    retry = RetryStrategy.model_validate({"limit": 1})
    scene = Scene(Plan(compiled.steps, compiled.output, compiled.params, retry=retry), answer=busy)

    assert scene.begin() is None

    assert phases(scene.result) == [("now", StepPhase.WAITING)]
    assert scene.result.run is not None
    assert (scene.result.run.phase, scene.result.run.reason) == (RunPhase.WAITING, WaitReason.RETRY)
    assert (scene.result.run.delay or timedelta(0)) >= timedelta(seconds=7)


def test_a_run_whose_time_is_over_begins_no_step() -> None:
    scene = Scene(plan(*steps("now"), timeout=timedelta(0)))

    assert scene.begin() is None

    assert phases(scene.result) == [("now", StepPhase.TIMED_OUT)]
    assert scene.result.run is not None
    assert (scene.result.run.phase, scene.result.run.reason) == (RunPhase.TIMED_OUT, "DeadlineExceeded")
    assert scene.tools.called == []


def test_a_defect_of_an_immediate_tool_is_not_taken_for_a_result() -> None:
    scene = Scene(plan(*steps("now")), answer=lambda call: call.arguments["missing"])

    with pytest.raises(KeyError):
        scene.begin()

    assert scene.settled.left == []
