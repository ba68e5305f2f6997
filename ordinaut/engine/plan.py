"""
Compiling a pipeline, once per content.

Admission compiles to find a user's mistakes; a worker compiles what a run has pinned (a *revision*) and keeps the
plan by digest. What a plan says to do next is decided in ``ordinaut.engine.cursor``.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import orjson
from pydantic import ValidationError

from ordinaut.engine.expression import Expression, compile_expression
from ordinaut.engine.schema import Schema, compile_schema
from ordinaut.engine.template import Template, compile_template
from ordinaut.errors import FieldError, Invalid, Mistakes
from ordinaut.resources.duration import parse_duration
from ordinaut.resources.pipeline import PipelineSpec, Step
from ordinaut.resources.retry import RetryStrategy
from ordinaut.resources.task import TaskSpec

ROOTS = frozenset({"params", "steps", "run", "task", "event", "events"})
"""What an expression of a pipeline may name; `item` and `index` come with `forEach`."""

_PINNED = {"retry_strategy", "timeout"}
"""What of a Task's spec decides how a run of it is carried out."""

_NOTHING = compile_template({})


@dataclass(frozen=True, slots=True)
class PlanStep:
    """
    One step, ready to be carried out.

    ``seq`` is its place from 0, ``result`` the name under which later steps find its output.
    """

    seq: int
    id: str
    result: str
    uses: str
    arguments: Template
    condition: Expression | None
    timeout: timedelta | None
    retry: RetryStrategy | None
    on_error: Literal["Fail", "Continue"]


@dataclass(frozen=True, slots=True)
class Plan:
    """
    A compiled pipeline.

    ``timeout`` is the whole run's; ``retry`` is the task's strategy, for steps whose tool has none either.
    """

    steps: tuple[PlanStep, ...]
    output: Template | None
    params: Schema | None
    timeout: timedelta | None = None
    retry: RetryStrategy | None = None


@dataclass(frozen=True, slots=True)
class Revision:
    """What a run pins: the pipeline and the task's part in how it is carried out, named by content (SHA-256)."""

    digest: bytes
    body: bytes


def revision(*, pipeline: PipelineSpec, task: TaskSpec) -> Revision:
    """Return the revision of a pipeline run for a task; equal content gives an equal digest."""
    pinned = task.model_dump(mode="json", by_alias=True, exclude_defaults=True, include=_PINNED)
    body = orjson.dumps({"pipeline": pipeline.canonical(), "task": pinned}, option=orjson.OPT_SORT_KEYS)
    return Revision(digest=hashlib.sha256(body).digest(), body=body)


def compile_revision(body: Mapping[str, Any]) -> Plan:
    """
    Compile what :func:`revision` made.

    Raises:
        Invalid: this program can't carry it out, although the one that made it could.
    """
    task = body["task"]
    try:
        pipeline = PipelineSpec.model_validate(body["pipeline"])
        retry = RetryStrategy.model_validate(task["retryStrategy"]) if "retryStrategy" in task else None
    except ValidationError as error:
        mistake = FieldError("revision", None, str(error), "run the task again")
        raise Invalid([mistake]) from None
    plan = compile_pipeline(pipeline, field="pipeline")
    return Plan(plan.steps, plan.output, plan.params, timeout=_duration(task.get("timeout")), retry=retry)


def compile_pipeline(spec: PipelineSpec, *, field: str) -> Plan:
    """
    Compile a pipeline whose spec stands at ``field``.

    Raises:
        Invalid: every mistake in templates, conditions, schemas and references, each with its field.
    """
    mistakes = Mistakes()
    steps = []
    known: list[str] = []
    for seq, step in enumerate(spec.steps):
        steps.append(_compile_step(step, seq=seq, field=f"{field}.steps[{seq}]", known=known, mistakes=mistakes))
        known.append(step.result_name)
    output, params = None, None
    with mistakes.caught():
        output = None if spec.output is None else _template(spec.output, field=f"{field}.output", known=known)
    with mistakes.caught():
        params = compile_schema(spec.params, field=f"{field}.params") if spec.params else None
    mistakes.raise_any()
    return Plan(tuple(steps), output, params)


def tool_names(spec: PipelineSpec) -> tuple[str, ...]:
    """Return the Tools that a pipeline needs, sorted; built-in ones (`std.*`) are not among them."""
    return tuple(sorted({step.uses for step in spec.steps if step.uses is not None and not is_builtin(step.uses)}))


def is_builtin(tool: str) -> bool:
    """Tell whether a tool is part of every worker."""
    return tool.startswith("std.")


def first_mistakes(errors: Sequence[FieldError], *, most: int = 5) -> str:
    """Return the text that a condition shows for mistakes: the first few, and how many more there are."""
    shown = "; ".join(str(error) for error in errors[:most])
    return f"{shown}; and {len(errors) - most} more" if len(errors) > most else shown


def _compile_step(step: Step, *, seq: int, field: str, known: Sequence[str], mistakes: Mistakes) -> PlanStep:
    arguments, condition = _NOTHING, None
    with mistakes.caught():
        arguments = _template(step.with_, field=f"{field}.with", known=known)
    with mistakes.caught():
        condition = None if step.if_ is None else _expression(step.if_, field=f"{field}.if", known=known)
    return PlanStep(
        seq=seq,
        id=step.id,
        result=step.result_name,
        uses=str(step.uses),
        arguments=arguments,
        condition=condition,
        timeout=_duration(step.timeout),
        retry=step.retry_strategy,
        on_error=step.on_error,
    )


def _template(value: Any, *, field: str, known: Sequence[str]) -> Template:
    template = compile_template(value, roots=ROOTS, field=field)
    _check_references(template.step_refs, field=field, value=value, known=known)
    return template


def _expression(text: str, *, field: str, known: Sequence[str]) -> Expression:
    try:
        expression = compile_expression(text, roots=ROOTS)
    except Invalid as invalid:
        raise Invalid([error.under(field) for error in invalid.errors]) from None
    _check_references(expression.step_refs, field=field, value=text, known=known)
    return expression


def _check_references(names: frozenset[str], *, field: str, value: Any, known: Sequence[str]) -> None:
    earlier = ", ".join(known) or "none, this is the first step"
    mistakes = [
        FieldError(field, value, f"steps.{name} names no earlier step", f"the results there are: {earlier}")
        for name in sorted(names)
        if name not in known
    ]
    if mistakes:
        raise Invalid(mistakes)


def _duration(text: str | None) -> timedelta | None:
    return None if text is None else parse_duration(text)
