"""JSON Schemas: what is accepted, how failures are explained, and that hostile ones cost little."""

import time

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ordinaut.engine.schema import apply_defaults, compile_schema
from ordinaut.errors import FieldError, Invalid, Mistake
from tests.timing import at_most

WEATHER = {
    "type": "object",
    "required": ["city", "days"],
    "properties": {
        "city": {"type": "string", "minLength": 2, "maxLength": 20, "pattern": "^[A-Z]"},
        "days": {"type": "integer", "minimum": 1, "exclusiveMaximum": 15},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "stops": {"type": "array", "uniqueItems": True, "maxItems": 3, "items": {"$ref": "#/$defs/stop"}},
    },
    "additionalProperties": False,
    "$defs": {"stop": {"type": "object", "properties": {"at": {"const": "noon"}}}},
}


def refusals(schema, value, *, field="with"):
    with pytest.raises(Invalid) as caught:
        compile_schema(schema, field="schema").check(value, field=field)
    return caught.value.errors


def refusal(schema, value):
    (error,) = refusals(schema, value)
    return error


def flaws(schema):
    with pytest.raises(Invalid) as caught:
        compile_schema(schema, field="spec.params")
    return caught.value.errors


def flaw(schema):
    (error,) = flaws(schema)
    return error


def test_a_value_that_satisfies_the_schema_passes():
    schema = compile_schema(WEATHER, field="schema")

    schema.check({"city": "Balti", "days": 3, "unit": "celsius", "note": None, "stops": [{"at": "noon"}]}, field="with")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"city": 5}, ["with.city: Invalid value: 5: is of type integer; write a value of type string"]),
        ({"city": "B"}, ['with.city: Invalid value: "B": has fewer than 2 characters; write at least 2']),
        ({"city": "B" * 21}, ["with.city: Too long: has more than 20 characters; write at most 20"]),
        ({"city": "balti"}, ['with.city: Invalid value: "balti": does not match "^[A-Z]"; write text that matches']),
        ({"days": 0}, ["with.days: Invalid value: 0: is less than 1; write at least 1"]),
        ({"days": 15}, ["with.days: Invalid value: 15: is not less than 15; write less than 15"]),
        ({"days": True}, ["with.days: Invalid value: true: is of type boolean; write a value of type integer"]),
        ({"unit": "kelvin"}, ['with.unit: Unsupported value: "kelvin": supported values: "celsius", "fahrenheit"']),
        ({"note": 5}, ["with.note: Invalid value: 5: is of type integer; write a value of type string or null"]),
        ({"unti": "celsius"}, ['unknown field "with.unti"; did you mean "unit"?']),
        (
            {"wind": 1},
            ['unknown field "with.wind"; leave it out; the fields here are "city", "days", "note", "stops", "unit"'],
        ),
        ({"stops": [{}, {"at": "night"}]}, ['with.stops[1].at: Unsupported value: "night": supported values: "noon"']),
        ({"stops": [{}, {}]}, ["with.stops: Invalid value: has items that are equal; write each one once"]),
        ({"stops": [1, 2, 3, 4]}, ["with.stops: Too many: has more than 3 items; write at most 3"]),
    ],
)
def test_a_failure_names_path_value_and_remedy(change, expected):
    errors = refusals(WEATHER, {"city": "Balti", "days": 3} | change)

    assert [str(error) for error in errors if "type object" not in error.remedy] == expected


def test_each_missing_property_is_named():
    errors = refusals(WEATHER, {})

    assert [(error.field, error.mistake) for error in errors] == [
        ("with.city", Mistake.REQUIRED),
        ("with.days", Mistake.REQUIRED),
    ]
    assert all(error.remedy for error in errors)


def test_at_most_ten_mistakes_are_explained():
    errors = refusals({"items": {"type": "integer"}}, ["x"] * 50)

    assert [error.field for error in errors] == [f"with[{index}]" for index in range(10)]


def test_names_that_could_break_a_log_line_are_escaped():
    errors = refusals({"additionalProperties": {"type": "integer"}}, {"a\nb": "x", "c.d": "y", "ok-1": "z"})

    assert [error.field for error in errors] == ['with["a\\nb"]', 'with["c.d"]', "with.ok-1"]


@pytest.mark.parametrize(
    ("value", "field", "text"),
    [
        ({"kind": "mail", "to": 5}, "with.to", "type string"),
        ({"kind": "call"}, "with.number", "Required"),
        ({"kind": "fax"}, "with", "none of the forms"),
        ("mail", "with", "type object or integer or array"),
    ],
)
def test_of_a_choice_the_branch_that_was_meant_is_explained(value, field, text):
    mail = {"type": "object", "properties": {"kind": {"const": "mail"}, "to": {"type": "string"}}, "required": ["to"]}
    call = {"type": "object", "properties": {"kind": {"const": "call"}}, "required": ["number"]}

    error = refusal({"oneOf": [mail, call, {"type": "integer"}, {"type": "array"}]}, value)

    assert error.field == field
    assert text in str(error)


def test_a_value_that_is_two_forms_at_once_is_explained():
    assert "more than one of the forms" in refusal({"oneOf": [{"minimum": 1}, {"maximum": 5}]}, 3).message


@pytest.mark.parametrize(
    ("schema", "value", "text"),
    [
        ({"not": {"type": "string"}}, "x", "excludes"),
        ({"contains": {"type": "string"}}, [1], "must hold"),
        ({"multipleOf": 5}, 7, "multiple of 5"),
        ({"minProperties": 1}, {}, "fewer than 1 properties"),
        ({"propertyNames": {"maxLength": 1}}, {"long": 1}, "more than 1 characters"),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, "'b' is a dependency of 'a'"),
        ({"properties": {"a": {}}, "unevaluatedProperties": False}, {"z": 1}, "'z' was unexpected"),
        ({"prefixItems": [{}], "items": False}, [1, 2], "Expected at most 1 item"),
        ({"properties": {"a": False}}, {"a": 1}, "does not allow"),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1}, "with.b: Required"),
        ({"patternProperties": {"^x": {"type": "string"}}}, {"x1": 1, "y": 2}, "with.x1"),
        ({"patternProperties": {"^x": {}}, "additionalProperties": False}, {"x1": 1, "y": 2}, 'unknown field "with.y"'),
        ({"patternProperties": {"^x": {}}, "additionalProperties": {"type": "string"}}, {"x": 1, "y": 2}, "with.y: "),
    ],
)
def test_every_kind_of_failure_has_words(schema, value, text):
    error = refusal(schema, value)

    assert text in str(error)
    assert error.remedy


_schemas = st.recursive(
    st.sampled_from(
        [
            True,
            False,
            {},
            {"type": "string"},
            {"type": ["integer", "null"]},
            {"minimum": 2},
            {"minLength": 1},
            {"enum": ["x"]},
            {"const": 1},
        ]
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
            "required": st.lists(st.sampled_from("abc"), unique=True, max_size=2),
            "additionalProperties": inner,
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "uniqueItems": st.booleans(),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b$"]), inner, max_size=1),
            "pattern": st.sampled_from(["^x", "y"]),
            "contains": inner,
            "propertyNames": inner,
        },
    ),
    max_leaves=8,
).filter(lambda schema: isinstance(schema, dict))
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x", "y"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(_schemas, _values)
def test_the_verdict_is_that_of_the_reference_and_every_refusal_is_explained(schema, value):
    try:
        compile_schema(schema, field="schema").check(value, field="with")
        explained = []
    except Invalid as refused:
        explained = list(refused.errors)

    assert bool(explained) is not jsonschema.Draft202012Validator(schema).is_valid(value)
    assert [error for error in explained if error.message == "does not match its schema"] == []


@pytest.mark.parametrize(
    ("schema", "field", "text"),
    [
        ({"type": "strin"}, "spec.params.type", '"array", "boolean"'),
        ({"properties": {"a": {"minimum": "1"}}}, "spec.params.properties.a.minimum", "type number"),
        ({"properties": {"a": {"required": "b"}}}, "spec.params.properties.a.required", "type array"),
        ({"properties": ["a"]}, "spec.params.properties", "type object"),
        ({"$ref": "https://example.com/schema"}, "spec.params.$ref", "leaves the document"),
        ({"$ref": "file:///etc/passwd"}, "spec.params.$ref", "leaves the document"),
        ({"$ref": "other"}, "spec.params.$ref", "leaves the document"),
        ({"items": {"$dynamicRef": "https://example.com/#x"}}, "spec.params.items.$dynamicRef", "leaves the document"),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, "spec.params.$ref", "leaves the document"),
        ({"$ref": "#/$defs/none"}, "spec.params.$ref", "leads to no schema"),
        ({"$ref": "#none"}, "spec.params.$ref", "leads to no schema"),
        ({"const": {"type": "x"}, "allOf": [{"$ref": "#/const"}]}, "spec.params.allOf[0].$ref", "leads to no schema"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "spec.params.$schema", "another dialect"),
        (
            {"items": {"$schema": "https://json-schema.org/draft/2020-12/schema"}},
            "spec.params.items.$schema",
            "dialect",
        ),
        ({"items": {"$id": "https://example.com"}}, "spec.params.items.$id", "document of its own"),
        ({"$defs": {"a": {"$anchor": "x"}, "b": {"$anchor": "x"}}}, "spec.params.$defs.b.$anchor", "names two"),
        ({"pattern": "(?=a)b"}, "spec.params.pattern", "linear time"),
        ({"pattern": r"(a)\1"}, "spec.params.pattern", "linear time"),
        ({"pattern": "["}, "spec.params.pattern", "linear time"),
        ({"pattern": "(x{1000}){1000}"}, "spec.params.pattern", "linear time"),
        ({"pattern": "x" * 513}, "spec.params.pattern", "513 characters"),
        ({"items": {"patternProperties": {"(": {}}}}, "spec.params.items.patternProperties", "linear time"),
        (
            {"properties": {"a": {"default": "x", "type": "integer"}}},
            "spec.params.properties.a.default",
            "type integer",
        ),
        ({"allOf": [{"$ref": "#"}]}, "spec.params", "refers to itself"),
        ({"patternProperties": {"^a": {}}, "unevaluatedProperties": False}, "spec.params", "has both"),
        ({"x": {1, 2}}, "spec.params", "not JSON"),
        ({"description": "x" * 70_000}, "spec.params", "bytes"),
    ],
)
def test_a_flaw_of_the_schema_names_path_and_remedy(schema, field, text):
    error = flaw(schema)

    assert error.field == field
    assert text in str(error)
    assert error.remedy or error.mistake is Mistake.UNSUPPORTED


def test_several_flaws_are_reported_at_once():
    errors = flaws({"properties": {"a": {"type": "nope"}, "b": {"minLength": -1}}})

    assert {error.field for error in errors} == {"spec.params.properties.a.type", "spec.params.properties.b.minLength"}


@pytest.mark.parametrize(
    "schema",
    [
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "https://example.com/mine",
            "type": "object",
        },
        {"properties": {"$ref": {"type": "string"}, "pattern": {"type": "integer"}, "$id": {}}},
        {"const": {"$ref": "https://example.com"}, "enum": [{"pattern": "("}], "examples": [{"$schema": "x"}]},
        {"$defs": {"a b/c~d%": {"type": "string"}}, "$ref": "#/$defs/a%20b~1c~0d%25"},
        {"$defs": {"yes": True}, "properties": {"a": {"$ref": "#/$defs/yes"}}},
        {"$defs": {"n": {"$anchor": "node", "properties": {"next": {"$ref": "#node"}}}}, "$ref": "#node"},
        {"$dynamicAnchor": "node", "properties": {"next": {"$dynamicRef": "#node"}}},
        {"definitions": {"x": {}}, "$ref": "#/definitions/x"},
        {"x-extension": {"anything": ["goes"]}, "title": "T"},
        {"pattern": r"^\p{L}+$"},
    ],
)
def test_these_schemas_are_accepted(schema):
    compile_schema(schema, field="spec.params")


def test_recursive_schemas_check_recursive_values():
    tree = {"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}}}

    compile_schema(tree, field="schema").check({"next": {"next": {}}}, field="with")
    assert refusal(tree, {"next": {"next": 5}}).field == "with.next.next"


def doubled(levels, *, through):
    """Return a schema whose definitions each use the next one twice."""
    schema = {"$ref": "#/$defs/d0", "$defs": {f"d{levels}": {"type": "object"}}}
    for level in range(levels):
        reference = {"$ref": f"#/$defs/d{level + 1}"}
        schema["$defs"][f"d{level}"] = through([reference, reference])
    return schema


def nested(levels, wrap, innermost):
    for _ in range(levels):
        innermost = wrap(innermost)
    return innermost


@pytest.mark.parametrize(
    "schema",
    [
        doubled(40, through=lambda twice: {"allOf": twice}),
        doubled(40, through=lambda twice: {"anyOf": twice}),
        doubled(40, through=lambda twice: {"properties": {"a": {"allOf": twice}}}),
        {
            "$ref": "#/$defs/d0",
            "$defs": {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}]} for i in range(100)} | {"d100": {}},
        },
        {"anyOf": [{"minimum": i} for i in range(2_001)]},
        nested(65, lambda inner: {"not": inner}, {}),
        nested(65, lambda inner: {"properties": {"a": inner}}, {}),
        nested(3, lambda inner: {"anyOf": [inner], "unevaluatedProperties": False}, {"type": "object"}),
        nested(3, lambda inner: {"if": inner, "unevaluatedItems": False}, {"type": "object"}),
        {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}},
        {"allOf": [{"pattern": f"^[a-z]{{1,{i}}}$"} for i in range(100, 190)]},
        {"properties": {"a": {"type": "object", "default": {}, "$ref": "#"}}},
    ],
    ids=range(12),
)
def test_a_schema_that_would_cost_too_much_is_refused_at_once(schema):
    started = time.monotonic()

    assert flaws(schema)
    assert time.monotonic() - started < at_most(2)


@pytest.mark.parametrize("depth", [300, 100_000])
def test_a_schema_nested_without_end_is_refused(depth):
    error = flaw(nested(depth, lambda inner: {"not": inner}, {}))

    assert "not too deep" in error.remedy


TREE = {"$ref": "#/$defs/n", "$defs": {"n": {"items": {"$ref": "#/$defs/n"}, "maxItems": 1}}}
LARGE = ["x" * 20] * 10_000


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (TREE, nested(100_000, lambda inner: [inner], 1)),
        (TREE, nested(250, lambda inner: [inner], [1, 2])),
        ({"anyOf": [{"type": "string", "minLength": i} for i in range(900)]}, LARGE),
        ({"allOf": [{"type": "string", "minLength": i} for i in range(900)]}, LARGE),
        ({"items": {"anyOf": [{"type": "integer", "minimum": i} for i in range(900)]}}, LARGE),
        ({"uniqueItems": True}, [i if i % 2 else str(i) for i in range(30_000)] + [1]),
        ({"items": {"type": "string", "pattern": "^(a+)+$"}}, ["a" * 50_000 + "b"]),
        ({"patternProperties": {"^(a+)+$": False}, "additionalProperties": False}, {"a" * 50_000 + "b": 1}),
        ({"propertyNames": {"pattern": "^(a|a)*$"}}, {"a" * 50_000 + "b": 1}),
        ({"$dynamicAnchor": "n", "properties": {"a": {"allOf": [{"$dynamicRef": "#n"}] * 2}, "z": False}},
         nested(60, lambda inner: {"a": inner}, {"z": 1})),
    ],
    ids=range(10),
)  # fmt: skip
def test_a_hostile_value_is_refused_in_bounded_time(schema, value):
    compiled = compile_schema(schema, field="schema")
    started = time.monotonic()

    with pytest.raises(Invalid) as caught:
        compiled.check(value, field="with")

    assert time.monotonic() - started < at_most(3)
    assert 1 <= len(caught.value.errors) <= 10
    assert len(str(caught.value)) < 5_000


def test_too_much_text_for_costly_patterns_is_refused():
    costly = {"pattern": "^(([01]*1[01]{250}|[01]*0[01]{250}|[01]{250})+)$"}

    compile_schema(costly, field="schema").check("01" * 250, field="with")
    error = refusal(costly, "01" * 100_000)

    assert error.mistake is Mistake.TOO_LONG
    assert "patterns" in error.message


@pytest.mark.parametrize("value", [{"a": {1}}, object(), {1: 2}, "\ud800", 2**70])
def test_what_is_not_json_is_refused(value):
    assert "not JSON" in refusal({}, value).message


def test_equal_schemas_are_compiled_once():
    first = compile_schema({"type": "object", "title": "once"}, field="a")

    assert compile_schema({"title": "once", "type": "object"}, field="b") is first
    assert compile_schema({"title": "twice", "type": "object"}, field="b") is not first


def test_a_compiled_schema_is_apart_from_what_it_was_made_of():
    source = {"type": "object", "properties": {"a": {"type": "string"}}}
    compiled = compile_schema(source, field="a")
    source["properties"]["a"]["type"] = "integer"

    compiled.check({"a": "text"}, field="with")


def test_the_same_flaw_is_placed_under_each_field():
    for field in ("spec.params", "spec.inputSchema"):
        with pytest.raises(Invalid) as caught:
            compile_schema({"type": "nope"}, field=field)
        assert caught.value.errors[0].field == f"{field}.type"


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"properties": {"a": {"default": 1}}}, {}, {"a": 1}),
        ({"properties": {"a": {"default": 1}}}, {"a": None}, {"a": None}),
        ({"properties": {"a": {"default": 1}}}, {"b": 2}, {"b": 2, "a": 1}),
        ({"properties": {"a": {"default": 1}}}, [], []),
        ({"properties": {"a": {"properties": {"b": {"default": 1}}}}}, {}, {}),
        ({"properties": {"a": {"properties": {"b": {"default": 1}}}}}, {"a": {}}, {"a": {"b": 1}}),
        ({"properties": {"a": {"default": {}, "properties": {"b": {"default": 1}}}}}, {}, {"a": {"b": 1}}),
        ({"items": {"properties": {"a": {"default": 1}}}}, [{}, {"a": 2}, 3], [{"a": 1}, {"a": 2}, 3]),
        ({"prefixItems": [{}], "items": {"properties": {"a": {"default": 1}}}}, [{}, {}], [{}, {"a": 1}]),
        ({"additionalProperties": {"properties": {"a": {"default": 1}}}}, {"x": {}}, {"x": {"a": 1}}),
        ({"$ref": "#/$defs/d", "$defs": {"d": {"properties": {"a": {"default": 1}}}}}, {}, {"a": 1}),
        ({"properties": {"x": {"$ref": "#/$defs/d"}}, "$defs": {"d": {"properties": {"a": {"default": 1}}}}},
         {"x": {}}, {"x": {"a": 1}}),
        ({"allOf": [{"properties": {"a": {"default": 1}}}]}, {}, {"a": 1}),
        ({"anyOf": [{"properties": {"a": {"default": 1}}}]}, {}, {}),
        ({"properties": {"a/b~c": {"properties": {"d": {"default": 1}}}}}, {"a/b~c": {}}, {"a/b~c": {"d": 1}}),
        ({"properties": {"a": True}}, {"a": {}}, {"a": {}}),
    ],
)  # fmt: skip
def test_defaults_are_filled_in(schema, value, expected):
    assert apply_defaults(compile_schema(schema, field="schema"), value) == expected


def test_filling_defaults_changes_neither_the_value_nor_the_schema():
    schema = compile_schema(
        {"properties": {"a": {"default": {}, "properties": {"b": {"default": [1]}}}}}, field="schema"
    )
    value = {"a": {"c": 1}}

    assert apply_defaults(schema, value) == {"a": {"c": 1, "b": [1]}}
    assert value == {"a": {"c": 1}}
    assert apply_defaults(schema, {}) == {"a": {"b": [1]}}
    assert apply_defaults(schema, {}) == {"a": {"b": [1]}}


def test_a_default_is_complete_once_its_own_defaults_are_filled_in():
    inner = {"type": "object", "default": {}, "required": ["b"], "properties": {"b": {"type": "integer", "default": 1}}}
    schema = compile_schema({"properties": {"a": inner}}, field="schema")

    filled = apply_defaults(schema, {})
    schema.check(filled, field="params")
    assert filled == {"a": {"b": 1}}


def test_defaults_that_multiply_are_refused():
    node = {"properties": {"q": {"default": 1}, "a": {"allOf": [{"$ref": "#/$defs/n"}, {"$ref": "#/$defs/n"}]}}}
    schema = compile_schema({"$ref": "#/$defs/n", "$defs": {"n": node}}, field="schema")

    with pytest.raises(Invalid) as caught:
        apply_defaults(schema, nested(60, lambda inner: {"a": inner}, {}), field="params")
    (error,) = caught.value.errors
    assert error.field == "params"
    assert "too much work" in error.message


def test_filled_values_satisfy_the_schema_that_filled_them():
    schema = compile_schema(
        {"type": "object", "required": ["days"], "properties": {"days": {"type": "integer", "default": 3}}},
        field="schema",
    )

    schema.check(apply_defaults(schema, {}), field="params")


def test_field_errors_are_plain_values():
    assert refusal({"type": "string"}, 5) == FieldError("with", 5, "is of type integer", "write a value of type string")
