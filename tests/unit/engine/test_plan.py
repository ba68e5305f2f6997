"""Compiling pipelines: every mistake with its place, equal content with an equal digest."""

import orjson
import pytest

from ordinaut.engine.plan import compile_pipeline, compile_revision, first_mistakes, revision, tool_names
from ordinaut.errors import Invalid
from ordinaut.resources.pipeline import PipelineSpec
from ordinaut.resources.task import TaskSpec


def spec(*steps: dict[str, object], **more: object) -> PipelineSpec:
    return PipelineSpec.model_validate({"steps": list(steps), **more})


LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}


def task(**more: object) -> TaskSpec:
    return TaskSpec.model_validate({"pipelineRef": {"name": "p"}, **more})


def test_names_the_place_and_the_remedy_of_every_mistake() -> None:
    wrong = spec(
        {"id": "a", "uses": "std.log", "with": {"message": "${params.}"}},
        {"id": "b", "uses": "std.log", "with": {"message": "${steps.c}"}},
        {"id": "c", "uses": "std.log", "if": "nowhere.x"},
        output={"x": "${steps.d}"},
        params={"type": "nothing"},
    )

    with pytest.raises(Invalid) as caught:
        compile_pipeline(wrong, field="spec")

    fields = [error.field for error in caught.value.errors]
    assert fields[0] == "spec.steps[0].with.message"
    assert fields[1:] == ["spec.steps[1].with", "spec.steps[2].if", "spec.output", "spec.params.type"]
    assert "steps.c names no earlier step; the results there are: a" in str(caught.value)


def test_a_broken_params_schema_is_a_mistake() -> None:
    with pytest.raises(Invalid, match=r"spec\.params"):
        compile_pipeline(spec(LOG, params={"type": "nothing"}), field="spec")


def test_equal_content_gives_an_equal_digest() -> None:
    one = revision(pipeline=spec(LOG), task=task(priority=1, timeout="1m"))
    two = revision(pipeline=spec(dict(reversed(LOG.items()))), task=task(priority=9, timeout="1m"))

    assert one == two


def test_what_decides_how_a_run_is_carried_out_is_part_of_the_digest() -> None:
    digests = {
        revision(pipeline=spec(LOG), task=task()).digest,
        revision(pipeline=spec(LOG), task=task(timeout="1m")).digest,
        revision(pipeline=spec(LOG), task=task(retryStrategy={"limit": 1})).digest,
        revision(pipeline=spec({**LOG, "id": "b"}), task=task()).digest,
    }

    assert len(digests) == 4


def test_a_revision_compiles_to_what_was_declared() -> None:
    made = revision(
        pipeline=spec(LOG, {"id": "b", "uses": "weather.forecast", "timeout": "5s", "onError": "Continue"}),
        task=task(timeout="2m", retryStrategy={"limit": 7}),
    )

    plan = compile_revision(orjson.loads(made.body))

    assert [(step.seq, step.id, step.uses, step.on_error) for step in plan.steps] == [
        (0, "a", "std.log", "Fail"),
        (1, "b", "weather.forecast", "Continue"),
    ]
    assert plan.timeout is not None
    assert plan.timeout.total_seconds() == 120
    assert plan.retry is not None
    assert plan.retry.limit == 7


def test_a_revision_that_cannot_be_read_any_more_is_invalid_not_a_crash() -> None:
    with pytest.raises(Invalid, match="run the task again"):
        compile_revision({"pipeline": {"steps": [{"id": "a", "future": 1}]}, "task": {}})


def test_tools_are_named_once_and_without_the_built_in_ones() -> None:
    assert tool_names(spec(LOG, {"id": "b", "uses": "z"}, {"id": "c", "uses": "y"}, {"id": "d", "uses": "z"})) == (
        "y",
        "z",
    )


def test_many_mistakes_are_cut_short() -> None:
    with pytest.raises(Invalid) as caught:
        compile_pipeline(spec(*({"id": f"s{n}", "uses": "std.log", "if": "nope"} for n in range(9))), field="spec")

    assert first_mistakes(caught.value.errors).endswith("; and 4 more")
