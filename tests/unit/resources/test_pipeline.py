from typing import Any

import pytest

from tests.unit.resources.documents import mistake, mistakes, parsed_pipeline, pipeline, step


def test_a_pipeline_with_every_supported_field_is_read() -> None:
    spec: dict[str, Any] = {
        "params": {"type": "object", "properties": {"city": {"type": "string"}}},
        "steps": [
            {"id": "weather", "uses": "weather.forecast", "with": {"city": "${params.city}", "days": 3, "none": None}},
            {
                "id": "brief-it",
                "uses": "llm.plan",
                "if": "steps.weather.ok",
                "needs": ["weather"],
                "retryStrategy": {"limit": 1},
                "timeout": "30s",
                "onError": "Continue",
                "saveAs": "brief",
            },
        ],
        "output": {"brief": "${steps.brief}", "at": ["$${now}", "5$"]},
    }
    assert parsed_pipeline(pipeline(**spec)).spec.canonical() == spec


def test_a_result_is_found_under_save_as_or_id() -> None:
    steps = parsed_pipeline(pipeline(step("a"), step("b", saveAs="c"))).spec.steps
    assert [one.result_name for one in steps] == ["a", "c"]


def test_the_first_step_may_say_that_it_needs_nothing() -> None:
    assert parsed_pipeline(pipeline(step("a", needs=[]), step("b", needs=["a"])))


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([step("a"), step("b"), step("a")], "a step id is used more than once: a"),
        ([step("a"), step("b", saveAs="a")], "two steps save their result under the same name: a"),
        ([step("a", saveAs="x"), step("b", saveAs="x")], "two steps save their result under the same name: x"),
        ([step("a", needs=["b"])], "a step needs a step that is not in the pipeline: a"),
        ([step("a", needs=["a"])], "a step needs itself or a step after it, so that it would wait for ever: a"),
        ([step("a"), step("b", needs=["c"]), step("c")], "a step needs itself or a step after it"),
    ],
)
def test_steps_that_cannot_stand_together(steps: list[dict[str, Any]], message: str) -> None:
    errors = mistakes(pipeline(*steps))
    assert {error.field for error in errors} == {"spec.steps"}
    assert any(error.message.startswith(message) for error in errors)


def test_ten_thousand_steps_are_refused() -> None:
    error = mistake(pipeline(*(step(f"s{number}") for number in range(10_000))))
    assert str(error) == "spec.steps: Too many: 10000: must have at most 100 items"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"uses": None}, "exactly one of uses, approval, sleep and waitFor must be set, found: none"),
        ({"uses": "Weather"}, "not the name of a tool"),
        ({"uses": "other/weather"}, "not the name of a tool"),
        ({"id": "the weather"}, "not a step id"),
        ({"saveAs": "the-weather"}, "not an identifier"),
        ({"if": "${params.on}"}, "a condition is a bare JMESPath expression"),
    ],
)
def test_a_step_that_is_wrong_by_itself(fields: dict[str, Any], message: str) -> None:
    assert mistake(pipeline(step() | fields)).message == message


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("${params.city", ""),
        ("a ${x} and ${", ""),
        ("${}", ""),
        ({"deep": [{"er": "${x"}]}, ".deep[0].er"),
    ],
)
def test_an_open_template_is_found_wherever_it_stands(value: object, place: str) -> None:
    error = mistake(pipeline(step(**{"with": {"city": value}})))
    assert error.field == f"spec.steps[0].with.city{place}"
    assert error.remedy == "close each ${ with a } after its expression"


@pytest.mark.parametrize("text", ["", "$", "$$", "{}", "$${", "$${secrets.a.b}", "${a}${b}", "${ {a: b} }", "€ ${'}'}"])
def test_text_that_only_looks_like_an_open_template_is_left_alone(text: str) -> None:
    assert parsed_pipeline(pipeline(step(**{"with": {"text": text}}), output=text))


def test_a_megabyte_of_dollars_is_checked_at_once() -> None:
    text = "$" * 1_000_000 + "${"
    assert parsed_pipeline(pipeline(step(**{"with": {"text": text}})))
