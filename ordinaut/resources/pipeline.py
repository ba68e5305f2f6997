"""
Pipeline: the steps that a run executes, one after another, each a call of a tool with results that later steps read.

A Task names a Pipeline or holds the same fields inline. ``ordinaut.engine`` compiles the spec into a plan and checks
what needs knowledge of expressions; everything that the text alone can tell is checked here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from ordinaut.resources.part import Part
from ordinaut.resources.retry import RetryStrategy
from ordinaut.resources.rules import Culprit, NotYet, Rule, exactly_one, only_with
from ordinaut.resources.scalars import (
    Expression,
    Identifier,
    PositiveDuration,
    StepId,
    ToolReference,
    Topic,
)
from ordinaut.resources.templates import Templates

_NO_LOOPS: Final = "leave it out: a step runs once"
_NO_WAITS: Final = "leave it out: a step can only use a tool"


class Approval(Part):
    """A wait for somebody's consent."""

    message: str = Field(min_length=1, max_length=1024)
    """What to ask."""
    timeout: PositiveDuration | None = None
    """How long to wait before the step fails."""


class WaitFor(Part):
    """A wait for an event."""

    topic: Topic
    if_: Expression | None = Field(default=None, alias="if")
    """JMESPath over the event: only an event for which it is true ends the wait."""
    timeout: PositiveDuration | None = None
    """How long to wait before the step fails."""


class Step(Part):
    """One step of a pipeline."""

    rules = (
        exactly_one("uses", "approval", "sleep", "waitFor"),
        only_with("uses", "forEach", "maxParallel", "retryStrategy", "onError"),
    )

    id: StepId
    """Name of the step, unique in its pipeline."""
    uses: ToolReference | None = None
    """The tool to call: the name of a Tool, server.tool for a tool of an MCP server, or a built-in such as std.log."""
    with_: Annotated[dict[str, Any], Templates()] = Field(default={}, alias="with", max_length=64)
    """Input of the tool. Text in it may hold templates: ${steps.weather.summary}."""
    if_: Expression | None = Field(default=None, alias="if")
    """JMESPath over params, steps, run and task; the step is skipped unless it is true."""
    needs: list[StepId] | None = Field(default=None, max_length=16)
    """Steps that must be over before this one starts; by default the step before it."""
    for_each: Annotated[str, NotYet(_NO_LOOPS)] | None = Field(default=None, min_length=1, max_length=1024)
    """A template of a list; the step runs once for each of its items."""
    max_parallel: Annotated[int, NotYet(_NO_LOOPS)] | None = Field(default=None, ge=1, le=1000)
    """How many items of forEach run at a time."""
    retry_strategy: RetryStrategy | None = None
    """When to try again; by default that of the Tool, then that of the Task."""
    timeout: PositiveDuration | None = None
    """How long one try may take; by default that of the Tool."""
    on_error: Literal["Fail", "Continue"] = "Fail"
    """What the run does when the step has failed for good."""
    save_as: Identifier | None = None
    """Name under which later steps find the result, as steps.NAME; by default the id."""
    approval: Annotated[Approval, NotYet(_NO_WAITS)] | None = None
    sleep: Annotated[PositiveDuration, NotYet(_NO_WAITS)] | None = None
    wait_for: Annotated[WaitFor, NotYet(_NO_WAITS)] | None = None

    @property
    def result_name(self) -> str:
        """The name under which templates find this step's result."""
        return self.save_as or self.id


@dataclass(frozen=True, slots=True)
class _Find:
    """A search for steps that break a rule: in CEL, a list over `self` and `ids`; in Python, the same."""

    cel: str
    names: Callable[[Sequence[Step], Sequence[str]], Iterator[str]]

    def rule(self, *, message: str, remedy: str) -> Rule:
        """Return the rule that nothing is found; the message names the first that is."""
        # CEL has no variables: a comprehension over a list of one binds the ids, which else were listed per step.
        found = f"[self.map(step, step.id)].map(ids, {self.cel})[0]"
        return Rule(
            cel=f"{found}.size() == 0",
            holds=lambda steps: self._first(steps) is None,
            message=message,
            remedy=remedy,
            culprit=Culprit(cel=f"' ' + {found}[0]", name=lambda steps: f" {self._first(steps)}"),
        )

    def _first(self, steps: Sequence[Step]) -> str | None:
        return next(self.names(steps, [step.id for step in steps]), None)


_RESULT_NAME: Final = "(has({0}.saveAs) ? {0}.saveAs : {0}.id)"

_REPEATED = _Find(
    cel="ids.filter(id, !ids.exists_one(other, other == id))",
    names=lambda _, ids: (name for name in ids if ids.count(name) > 1),
)
_SAME_RESULT = _Find(
    cel="self.map(one, self.exists(other, other.id != one.id && "
    f"{_RESULT_NAME.format('other')} == {_RESULT_NAME.format('one')}), {_RESULT_NAME.format('one')})",
    names=lambda steps, _: (
        one.result_name
        for one in steps
        if any(other.id != one.id and other.result_name == one.result_name for other in steps)
    ),
)
_UNKNOWN_NEED = _Find(
    cel="self.map(step, has(step.needs) && !step.needs.all(need, need in ids), step.id)",
    names=lambda steps, ids: (step.id for step in steps if not {*(step.needs or ())} <= {*ids}),
)
_LATER_NEED = _Find(
    cel="self.map(step, has(step.needs) && "
    "step.needs.exists(need, ids.indexOf(need) >= ids.indexOf(step.id)), step.id)",
    names=lambda steps, ids: (step.id for step in steps if {*(step.needs or ())} & {*ids[ids.index(step.id) :]}),
)
_OTHER_NEEDS = _Find(
    cel="self.map(step, has(step.needs) && step.needs != "
    "(ids.indexOf(step.id) == 0 ? [] : [ids[ids.indexOf(step.id) - 1]]), step.id)",
    names=lambda steps, ids: (
        step.id for step in steps if step.needs is not None and step.needs != ids[: ids.index(step.id)][-1:]
    ),
)

STEP_RULES: Final = (
    _REPEATED.rule(message="a step id is used more than once", remedy="give each step an id of its own"),
    _SAME_RESULT.rule(
        message="two steps save their result under the same name", remedy="give one of them another id or saveAs"
    ),
    _UNKNOWN_NEED.rule(
        message="a step needs a step that is not in the pipeline", remedy="write ids of other steps into its needs"
    ),
    _LATER_NEED.rule(
        message="a step needs itself or a step after it, so that it would wait for ever",
        remedy="let it need only steps that stand before it",
    ),
    # Goes, with the marker on `sleep` and its like, when steps may run side by side.
    _OTHER_NEEDS.rule(
        message="needs other than the step before are not supported yet, as in step",
        remedy="leave needs out: the steps run one after another",
    ),
)


class PipelineSpec(Part):
    """What a pipeline takes, does and gives."""

    params: dict[str, Any] = Field(default={}, max_length=64)
    """JSON Schema (2020-12) of the params that a run of this pipeline takes."""
    steps: Annotated[list[Step], *STEP_RULES] = Field(min_length=1, max_length=100)
    """The steps, in the order in which they run."""
    output: Annotated[Any, Templates()] = None
    """The output of the run: any value, with templates over the results of the steps."""
