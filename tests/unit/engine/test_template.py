"""Templates: what they render to, that values stay data, and their limits."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ordinaut.engine.template import MAX_RENDERED, compile_template
from ordinaut.errors import Invalid, Mistake, Permanent

SCOPE = {
    "params": {
        "city": "Chisinau",
        "days": 3,
        "rate": 0.5,
        "on": True,
        "list": [1, "two", None],
        "none": None,
        "evil": "${params.secret} ${steps} $${x}",
        "secret": "s3cret",
    },
    "steps": {"mail": {"messages": [{"id": "a"}, {"id": "b"}]}},
    "run": {"id": "01890000-0000-7000-8000-000000000000"},
}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)


def render(value, scope=SCOPE, **options):
    return compile_template(value, **options).render(scope)


def mistakes(value, **options):
    with pytest.raises(Invalid) as caught:
        compile_template(value, **options)
    return caught.value.errors


def failure(value, scope=SCOPE, **options):
    template = compile_template(value, **options)
    with pytest.raises(Permanent) as caught:
        template.render(scope)
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${params.city}", "Chisinau"),
        ("${params.days}", 3),
        ("${params.list}", [1, "two", None]),
        ("${params.on}", True),
        ("${ params }", SCOPE["params"]),
        ("${params.none}", None),
        ("Hello ${params.city}!", "Hello Chisinau!"),
        ("${params.city}${params.days}", "Chisinau3"),
        (" ${params.days}", " 3"),
        ("${params.days} ${params.rate} ${params.on}", "3 0.5 true"),
        ("list: ${params.list}", 'list: [1,"two",null]'),
        ("object: ${steps.mail.messages[0]}", 'object: {"id":"a"}'),
        ("${params.country || 'Moldova'}", "Moldova"),
        ("in ${params.none || params.city}", "in Chisinau"),
        ("${params.x || ''}", ""),
        ("[${params.x || ''}]", "[]"),
        ("${params.x || '}'}", "}"),
        ("${params.x || '{'}", "{"),
        ("${params.x || 'it\\'s }'}", "it's }"),
        ("${params.\"a}b\" || 'c'}", "c"),
        ('${params.x || `{"a": "}"}`}', {"a": "}"}),
        ("${{a: params.days, b: {c: params.city}}}", {"a": 3, "b": {"c": "Chisinau"}}),
        ("${ {a: params.days} } and }", '{"a":3} and }'),
        ("$${params.city}", "${params.city}"),
        ("$${params.city} is ${params.city}", "${params.city} is Chisinau"),
        ("$$${params.city}", "$${params.city}"),
        ("5 $ and {params.city} $", "5 $ and {params.city} $"),
        ("$${", "${"),
        ("", ""),
        (7, 7),
        (None, None),
        ({"a": ["${params.days}", {"b": "x${params.days}"}], "c": 1}, {"a": [3, {"b": "x3"}], "c": 1}),
        ({"${params.city}": 1}, {"${params.city}": 1}),
        ("${steps.mail.messages[*].id}", ["a", "b"]),
    ],
)
def test_a_template_renders_to(value, expected):
    rendered = render(value)

    assert rendered == expected
    assert type(rendered) is type(expected)


def test_the_order_of_properties_is_kept():
    rendered = render({"z": "${params.days}", "a": 1, "m": "${params.city}", "b": 2})

    assert list(rendered) == ["z", "a", "m", "b"]


def test_rendering_leaves_the_template_as_it_was():
    value = {"a": ["${params.days}", {"b": "${params.city}"}], "c": [1, 2]}
    before = copy.deepcopy(value)
    template = compile_template(value)

    assert template.render(SCOPE) == template.render(SCOPE)
    assert template.render({"params": {"days": 4, "city": "Balti"}}) == {"a": [4, {"b": "Balti"}], "c": [1, 2]}
    assert value == before


def test_parts_without_templates_are_the_same_object_in_every_rendering():
    template = compile_template({"fixed": {"deep": [1, 2]}, "city": "${params.city}"})

    assert template.render(SCOPE)["fixed"] is template.render(SCOPE)["fixed"]


@settings(max_examples=100, deadline=None)
@given(json_values.filter(lambda value: "${" not in repr(value)))
def test_a_value_without_templates_renders_to_itself(value):
    assert render(value, scope={}) == value


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_any_text_can_be_written_with_escapes(text):
    assert render(text.replace("${", "$${"), scope={}) == text


@settings(max_examples=100, deadline=None)
@given(json_values)
def test_a_value_that_passes_through_a_template_is_never_evaluated_again(value):
    scope = {"params": {"value": value}}

    assert render("${params.value}", scope=scope) == value
    assert render({"a": ["${params.value}"]}, scope=scope) == {"a": [value]}


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_text_that_passes_through_text_is_never_evaluated_again(text):
    assert render("<${params.value}>", scope={"params": {"value": text}}) == f"<{text}>"


def test_a_value_that_contains_a_template_is_data():
    assert render("${params.evil}") == SCOPE["params"]["evil"]
    assert render("mail: ${params.evil}") == "mail: ${params.secret} ${steps} $${x}"
    assert render("${params.a || '${params.secret}'}") == "${params.secret}"
    assert (
        render("${params.dollar}{params.secret}", scope={"params": {"dollar": "$", "secret": "x"}})
        == "${params.secret}"
    )


def test_a_template_says_which_names_and_steps_it_reads():
    template = compile_template({"a": "${steps.mail.x} ${params.y}", "b": ["${steps.calendar}"], "c": "$${item}"})

    assert template.roots == {"steps", "params"}
    assert template.step_refs == {"mail", "calendar"}
    assert compile_template([1]).roots == frozenset()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("${params.ctiy}", 'with: expression "params.ctiy" is missing: params has "city", "days"'),
        ({"city": "${params.ctiy}"}, 'with.city: expression "params.ctiy" is missing'),
        ({"a": [0, "in ${steps.mail.subject}"]}, 'with.a[1]: expression "steps.mail.subject" is missing'),
        ({"a b\n": "${params.x}"}, 'with["a b\\n"]: expression "params.x" is missing'),
        ("no ${params.none}", 'with: expression "params.none" is null'),
        ("${steps.mail.messages[?id == 'z'] | [0]}", "is missing"),
        ("${params.x || params.y}", "give a default: a || 'default'"),
        ("${steps.__class__}", 'steps has "mail"'),
        ("${abs(params.city)}", "abs() takes number, and was given string"),
    ],
)
def test_what_can_not_be_rendered_names_field_and_expression(value, message):
    assert message in failure(value, field="with")


def test_without_a_field_the_message_starts_with_the_expression():
    assert failure("${params.x}").startswith('expression "params.x" is missing')


@pytest.mark.parametrize(
    ("value", "field", "message"),
    [
        ({"city": "${params.city"}, "with.city", "without its end"),
        ({"city": "a ${params.x || 'open}"}, "with.city", "without its end"),
        ({"city": "${{a: b}"}, "with.city", "without its end"),
        (["${"], "with[0]", "without its end"),
        ("${}", "with", "empty expression"),
        ("${ }", "with", "empty expression"),
        ("${{7*7}}", "with", "not JMESPath"),
        ("${{{7*7}}}", "with", "not JMESPath"),
        ("${parms.city}", "with", '"parms"'),
        ({"auth": "Bearer ${secrets.mail.token}"}, "with.auth", "secrets are not supported yet"),
        ({"a": [{"b": "${" + "[" * 400 + "}"}]}, "with.a[0].b", "nested deeper"),
        ("${" + "[" * 3_000 + "}", "with", "3000 characters"),
        ("${exec('x')}", "with", "does not exist"),
    ],
)
def test_a_mistake_in_a_template_names_field_value_and_remedy(value, field, message):
    (error,) = mistakes(value, field="with")

    assert error.field == field
    assert message in error.message
    assert error.remedy
    assert isinstance(error.value, str)


def test_all_mistakes_are_reported_at_once_up_to_twenty():
    errors = mistakes({"a": "${x}", "b": ["${y", "${params.ok}"]}, field="with")
    assert [error.field for error in errors] == ["with.a", "with.b[0]"]
    assert len(mistakes(["${nope}"] * 100)) == 20


def test_without_a_field_mistakes_can_be_placed_by_the_caller():
    (error,) = mistakes({"city": "${x}"})
    assert error.under("with").field == "with.city"
    (error,) = mistakes(["${x}"])
    assert error.under("with").field == "with[0]"


def test_the_roots_are_the_callers_choice():
    assert render("${event.data}", scope={"event": {"data": 1}}, roots=frozenset({"event"})) == 1
    (error,) = mistakes("${item}", roots=frozenset({"params"}))
    assert "start with one of params" in error.remedy


@pytest.mark.parametrize(
    "value",
    [
        "${params.text} ${params.text}",
        {"a": "${params.text}", "b": "${params.text}"},
        ["${params.list}", "${params.list}"],
        "${params.text}" * 200,
        {"fixed": "y" * 200_000, "a": "${params.text}"},
        "${[params.text, params.text]}",
    ],
)
def test_a_rendered_value_of_more_than_256_kib_is_refused(value):
    scope = {"params": {"text": "x" * 150_000, "list": ["y" * 10] * 12_000}}

    assert f"more than the {MAX_RENDERED} bytes allowed" in failure(value, scope=scope)


def test_a_large_value_within_the_limit_is_rendered():
    scope = {"params": {"text": "x" * 200_000}}

    assert render(["${params.text}"], scope=scope) == ["x" * 200_000]


def test_an_expression_that_expands_is_stopped_at_its_own_limit():
    grow = "|".join(["params.list", *["[@,@]"] * 17])

    assert "too much work" in failure("${" + grow + "}", scope={"params": {"list": list(range(1_000))}})


def test_a_value_of_more_than_256_kib_is_refused_when_compiled():
    (error,) = mistakes({"a": "x" * MAX_RENDERED}, field="with")
    assert error.mistake is Mistake.TOO_LONG
    assert error.field == "with"


def test_more_than_256_templates_are_refused():
    assert render(["${params.days}"] * 256) == [3] * 256
    (error,) = mistakes(["${params.days}"] * 257, field="with")
    assert error.field == "with[256]"
    assert "256" in error.message


@pytest.mark.parametrize("depth", [65, 200, 100_000])
def test_nesting_deeper_than_64_levels_is_refused(depth):
    value = "${params.days}"
    for _ in range(depth):
        value = [value]

    (error,) = mistakes(value, field="with")
    assert "deep" in f"{error.message} {error.remedy}"


def test_nesting_of_64_levels_is_rendered():
    value = expected = 3
    value = "${params.days}"
    for _ in range(64):
        value, expected = [value], [expected]

    assert render(value) == expected


@pytest.mark.parametrize("value", [{"a": {1, 2}}, {"a": object()}, {1: 2}, "\ud800", 2**70])
def test_what_is_not_json_is_refused_when_compiled(value):
    (error,) = mistakes(value, field="with")
    assert "not JSON" in error.message


@pytest.mark.parametrize("value", ["\ud800", 2**70])
@pytest.mark.parametrize("template", ["${params.value}", "a ${params.value}"])
def test_what_is_not_json_is_refused_when_rendered(template, value):
    assert "can't be written as JSON" in failure(template, scope={"params": {"value": value}})
