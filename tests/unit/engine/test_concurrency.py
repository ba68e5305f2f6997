"""Concurrency keys: what templates make of params, and what is no key."""

from typing import Any

import pytest

from ordinaut.engine.concurrency import MAX_KEY, check_keys, render_keys
from ordinaut.errors import Invalid
from ordinaut.resources.task import ConcurrencyKey


def entries(*sources: str) -> list[ConcurrencyKey]:
    return [ConcurrencyKey.model_validate({"key": source}) for source in sources]


@pytest.mark.parametrize(
    ("source", "params", "key"),
    [
        ("mail", {}, "mail"),
        ("${params.account}", {"account": "ada"}, "ada"),
        ("mail-${params.account}", {"account": "ada"}, "mail-ada"),
        ("${params.shard}", {"shard": 7}, "7"),
        ("${params.on}", {"on": True}, "true"),
        ("${params.of}", {"of": {"b": [1, "x"], "a": None}}, '{"a":null,"b":[1,"x"]}'),
        ("${params.account || 'none'}", {"other": 1}, "none"),
        ("$${x}", {}, "${x}"),
        ("${params.a}", {"a": "${params.b}", "b": "x"}, "${params.b}"),
        ("${params.a}", {"a": "ж" * MAX_KEY}, "ж" * MAX_KEY),
    ],
)
def test_a_key_is_text(source: str, params: dict[str, Any], key: str) -> None:
    assert render_keys(entries(source), params, field="spec.concurrency") == [key]


@pytest.mark.parametrize(
    ("source", "params", "said"),
    [
        ("${params.account}", {}, "missing"),
        ("${params.account}", {"account": None}, "null"),
        ("x-${params.account}", {"account": None}, "null"),
        ("${params.account}", {"account": ""}, "empty"),
        ("${params.account}", {"account": "a" * (MAX_KEY + 1)}, f"has {MAX_KEY + 1} characters"),
        ("${params.account}", {"account": "a\0b"}, "NUL"),
    ],
)
def test_params_that_give_no_key_are_refused_with_field_and_remedy(
    source: str, params: dict[str, Any], said: str
) -> None:
    with pytest.raises(Invalid) as refused:
        render_keys(entries("fine", source), params, field="spec.concurrency")
    (error,) = refused.value.errors
    assert (error.field, error.value) == ("spec.concurrency[1].key", source)
    assert said in error.message
    assert error.remedy


@pytest.mark.parametrize("source", ["${steps.a}", "${run.id}", "${secrets.a.b}", "${params.", "${params..x}"])
def test_templates_are_checked_before_anything_runs(source: str) -> None:
    check_keys(entries("fine"), field="spec.concurrency")
    with pytest.raises(Invalid) as refused:
        check_keys([ConcurrencyKey.model_construct(key=source)], field="spec.concurrency")
    assert [error.field for error in refused.value.errors] == ["spec.concurrency[0].key"]


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        render_keys(entries("${params.a}", "${params.b}"), {}, field="spec.concurrency")
    assert [error.field for error in refused.value.errors] == ["spec.concurrency[0].key", "spec.concurrency[1].key"]
