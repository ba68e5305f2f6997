"""Expressions: what they read, what they yield, what is refused when they are compiled."""

import json

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ordinaut.engine.expression import ROOTS, compile_expression, is_true
from ordinaut.errors import Invalid, Permanent

SCOPE = {
    "params": {"city": "Chisinau", "days": 3, "none": None, "zero": 0, "no": False, "empty": "", "a-b": "dash"},
    "steps": {
        "mail": {"messages": [{"id": "m1", "unread": True, "size": 9}, {"id": "m2", "unread": False, "size": 5}]},
        "other": {"list": [1, 2, 3], "nested": [[1], [2, [3]]]},
    },
    "now": "2026-01-02T03:04:05Z",
}


def refusal(source, **options):
    with pytest.raises(Invalid) as caught:
        compile_expression(source, **options)
    (error,) = caught.value.errors
    assert error.field == ""
    assert error.message
    assert error.remedy
    return error


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("params.city", "Chisinau"),
        ("steps.mail.messages[0].id", "m1"),
        ("steps.mail.messages[-1].id", "m2"),
        ('params."a-b"', "dash"),
        ("params.city || 'nowhere'", "Chisinau"),
        ("params.state || 'nowhere'", "nowhere"),
        ("params.none || params.empty || 'x}y'", "x}y"),
        ("params.zero || 'zero is true'", 0),
        ("steps.mail.messages[?unread].id", ["m1"]),
        ("steps.mail.messages[?size > `5`].{id: id, large: `true`} | [0]", {"id": "m1", "large": True}),
        ("length(steps.mail.messages)", 2),
        ("sort_by(steps.mail.messages, &size)[*].id", ["m2", "m1"]),
        ("steps.other.nested[]", [1, 2, [3]]),
        ("steps.other.list[::-1]", [3, 2, 1]),
        ("join(', ', map(&id, steps.mail.messages))", "m1, m2"),
        ("params.days == `3` && !params.no", True),
        ("!steps.mail.done", True),
        ("!params.days", False),
        ("!steps.mail.messages[?size > `100`]", True),
        ("!params.no == `true`", True),
        ("params.days > `2`", True),
        ("params.city > `2`", None),
        ("params.city == 'Chisinau'", True),
        ('`{"a": [1, 2]}`.a[1]', 2),
        ("'it\\'s'", "it's"),
        ("now", "2026-01-02T03:04:05Z"),
        ("params.nothing.at.all", None),
        ("params.city.name", None),
        ("params.city[0]", None),
        ("steps.mail.messages[7]", None),
    ],
)
def test_an_expression_has_the_value_that_jmespath_gives_it(source, expected):
    assert compile_expression(source).evaluate(SCOPE) == expected


def test_an_expression_says_which_names_and_steps_it_reads():
    expression = compile_expression("steps.mail.messages[?id == 'x'] || steps.\"to do\".{a: b.c} || params.list[*].now")

    assert expression.roots == {"steps", "params"}
    assert expression.step_refs == {"mail", "to do"}


@pytest.mark.parametrize(
    ("source", "steps"),
    [
        ("steps.{a: mail.x, b: calendar}", {"mail", "calendar"}),
        ("steps.[mail, calendar.y]", {"mail", "calendar"}),
        ("steps | mail", {"mail"}),
        ("steps.mail | calendar", {"mail"}),
        ("keys(steps)", set()),
        ("params.steps.mail", set()),
        ("sort_by(steps.mail, &steps.calendar)", {"mail"}),
        ("steps.mail[?steps.calendar]", {"mail"}),
    ],
)
def test_only_names_below_steps_are_step_references(source, steps):
    assert compile_expression(source).step_refs == steps


def test_names_inside_a_projection_are_no_root_names():
    assert compile_expression("params.list[*].anything.goes").roots == {"params"}
    assert compile_expression("map(&anything, params.list)").roots == {"params"}


@pytest.mark.parametrize(
    ("source", "message", "remedy"),
    [
        ("", "empty", "name what to read"),
        ("   ", "empty", "name what to read"),
        ("parms.city", '"parms"', "did you mean params? start with one of event, events, index, item"),
        ("city", '"city"', "start with one of"),
        ("params.a || default", '"default"', "single quotes"),
        ("secrets.mail.password", "secrets are not supported yet", "tool"),
        ("params.x == 'a' && [secrets.mail]", "secrets are not supported yet", "tool"),
        ("@", "everything", "start with one of"),
        ("keys(@)", "everything", "start with one of"),
        ("*", "everything", "start with one of"),
        ("[0]", "everything", "start with one of"),
        ("[?a]", "everything", "start with one of"),
        ("{a: @}.a", "everything", "start with one of"),
        ("params.", "ends too early", "complete"),
        ("params.x ||", "ends too early", "complete"),
        ("params.my-step", "character 10", 'steps."my-step"'),
        ("params.x = 'a'", "character 10", "=="),
        ("params.x || `oops`", "character 13", "single quotes"),
        ("params.'x'", "character 8", "jmespath.org"),
        ("params x", "character 8", "jmespath.org"),
        ("'open", "character 1", "jmespath.org"),
        ("{7*7}", "character 2", "jmespath.org"),
        ("params.a[?", "ends too early", "complete"),
        ("lenght(params.x)", "lenght", "did you mean length?"),
        ("__import__('os')", "__import__", "there are abs"),
        ("length(params.x, params.y)", "2 arguments", "give it 1 argument"),
        ("merge()", "0 arguments", "1 or more arguments"),
        ("&params", "outside a call", "argument"),
    ],
)
def test_a_mistake_is_refused_with_place_and_remedy(source, message, remedy):
    error = refusal(source)

    assert message in str(error)
    assert remedy in error.remedy
    assert error.value == source


def test_the_allowed_roots_are_the_callers_choice():
    assert compile_expression("data.priority == 'high'", roots=frozenset({"data", "type"})).roots == {"data"}
    assert "data, type" in refusal("params.x", roots=frozenset({"data", "type"})).remedy


def test_the_default_roots_are_those_of_a_pipeline():
    assert sorted(ROOTS) == ["event", "events", "index", "item", "now", "params", "run", "steps", "task"]


@pytest.mark.parametrize(
    "source",
    [
        "[" * 3_000,
        "params" + ".a" * 300,
        "'" + "x" * 511 + "'",
    ],
)
def test_an_expression_of_more_than_512_characters_is_refused(source):
    assert "characters" in refusal(source).message
    assert "512" in refusal(source).remedy


@pytest.mark.parametrize(
    "source",
    [
        "[" * 500,
        "(" * 500,
        "!" * 500,
        "& " * 250,
        "{a:" * 100,
        "*." * 250,
        "[*]" * 150,
        "[]" * 250,
        "[?" * 250,
        "params" + "[]" * 30,
        "params" + "[*].a" * 30,
        "params" + "[?a]" * 30,
        "abs(" * 100,
        "!" * 21 + "params",
        "(" * 21 + "params" + ")" * 21,
        "params" + " || params" * 21,
        "params" + " | @" * 21,
    ],
)
def test_nesting_deeper_than_20_levels_is_refused_before_anything_recurses(source):
    assert "nested deeper than 20 levels" in refusal(source).message


@pytest.mark.parametrize(
    "source", ["(" * 19 + "params" + ")" * 19, "!" * 18 + "params", "params" + "[*]" * 9, "params[0][1][2].a"]
)
def test_nesting_within_the_limit_is_accepted(source):
    assert compile_expression(source).roots == {"params"}


def test_an_expression_of_more_than_200_parts_is_refused():
    compile_expression("params.a.[" + ",".join("a" * 190) + "]")
    error = refusal("params.a.[" + ",".join("a" * 200) + "]")
    assert "parts" in error.message
    assert "200" in error.remedy


def outcome(source, scope):
    """Return the expression's value, or the text with which it is refused; anything else is a fault."""
    try:
        return compile_expression(source).evaluate(scope)
    except (Invalid, Permanent) as refused:
        return str(refused)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab.params[]{}()*?|&!<>=@:,'\"`\\-0129 stepsé\n", max_size=60))
def test_any_text_has_a_json_value_or_is_refused_in_words(source):
    assert json.dumps(outcome(source, SCOPE), allow_nan=False)


TOKENS = [
    "params",
    "steps",
    ".",
    ".a",
    "[0]",
    "[*]",
    "[]",
    "[?",
    "]",
    "(",
    ")",
    "{a:",
    "}",
    "||",
    "&&",
    "|",
    "!",
    "&",
    "@",
    "*",
    "'x'",
    "`1`",
    '"q"',
    ",",
    "==",
    "<",
    "length(",
    "sort_by(",
    "join(",
    "to_string(",
    "[::2]",
    "-1",
    "merge(",
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=14).map(lambda tokens: "params" + "".join(tokens)))
def test_any_row_of_tokens_has_a_json_value_or_is_refused_in_words(source):
    assert json.dumps(
        outcome(source, {"params": [{"a": 1}, "x", None, [2.5, {"q": "x"}]], "steps": {}}), allow_nan=False
    )


@pytest.mark.parametrize("value", [False, None, "", [], {}])
def test_these_values_are_false(value):
    assert is_true(value) is False


@pytest.mark.parametrize("value", [True, 0, 0.0, -1, "false", " ", [0], [[]], {"a": None}])
def test_these_values_are_true(value):
    assert is_true(value) is True


def test_a_null_that_is_there_is_a_value_and_a_missing_name_is_not():
    assert compile_expression("params.none").require(SCOPE) is None
    with pytest.raises(Permanent, match=r'"params\.ctiy" is missing: params has .*"city".*\|\| \'default\''):
        compile_expression("params.ctiy").require(SCOPE)


@pytest.mark.parametrize(
    ("source", "gap"),
    [
        ("steps.calendar.events", 'steps has "mail", "other"'),
        ("steps.mail.messages[2].id", "steps.mail.messages has 2 items"),
        ("params.city.name", "params.city has no names"),
        ("item.id", 'the scope has "now", "params", "steps"'),
        ("params.x || params.y", "is missing"),
        ("steps.mail.messages[?size > `100`] | [0]", "is missing"),
    ],
)
def test_what_is_missing_is_named(source, gap):
    with pytest.raises(Permanent) as caught:
        compile_expression(source).require(SCOPE)
    assert gap in str(caught.value)


@pytest.mark.parametrize(
    "source", ["params.x || `null`", "steps.mail.messages[?size > `100`] | [0] || `null`", "`null`"]
)
def test_a_null_that_the_author_wrote_is_a_value(source):
    assert compile_expression(source).require(SCOPE) is None


_names = st.sampled_from(["a", "b", "c"])
_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "x"]),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(_names, children, max_size=3),
    max_leaves=12,
)
_steps = st.lists(_names.map(".{}".format) | st.integers(-2, 2).map("[{}]".format), max_size=4)
_paths = _steps.map(lambda steps: "params" + "".join(steps))
_choices = st.lists(_paths | st.just("'text'"), min_size=1, max_size=3).map(" || ".join)


@settings(max_examples=150, deadline=None)
@given(_choices, _data)
def test_the_closures_for_paths_and_choices_agree_with_jmespath(source, data):
    assert compile_expression(source).evaluate({"params": data}) == jmespath.search(source, {"params": data})


def test_attributes_of_python_objects_are_out_of_reach():
    for source in ("steps.__class__", "params.city.upper", "now.__doc__", "params.items", 'params."__init__"'):
        assert compile_expression(source).evaluate(SCOPE) is None


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("length(params.days)", "length() takes string or array or object, and was given number"),
        ("steps.other.list[::0]", "slice step cannot be zero"),
        ("to_number('nan')", "not finite"),
        ("[to_number('1e999')]", "not finite"),
        ("not_null(&params)", "not JSON"),
    ],
)
def test_an_evaluation_that_fails_names_expression_and_reason(source, reason):
    with pytest.raises(Permanent) as caught:
        compile_expression(source).evaluate(SCOPE)
    assert reason in str(caught.value)
    assert source.split("(")[0] in str(caught.value)


LARGE = {
    "params": {
        "list": list(range(20_000)),
        "text": "x" * 1_000_000,
        "rows": [{"a": i, "b": "t" * 40} for i in range(9_000)],
    }
}


@pytest.mark.parametrize(
    "source",
    [
        "|".join(["params.list", *["[@,@]"] * 17]),
        "|".join(["params.list", *["[@,@]"] * 16, "to_string(@)"]),
        "|".join(["params.list", *["[@,@]"] * 15, "@[0] == @[1]"]),
        "|".join(["params.list", *["[@,@]"] * 15, "contains(@, @[0])"]),
        "|".join(["params.list", *["[@,@][]"] * 8]),
        "|".join(["params.text", *["join('', [@,@])"] * 17]),
        "join(params.text, params.list[*].to_string(@))",
        "params.rows[*].[a, b, a, b, a, b].{c: @, d: @, e: @, f: @}",
    ],
)
def test_an_expression_that_multiplies_its_input_is_stopped(source):
    with pytest.raises(Permanent, match=r"too much work|more than the 1048576 allowed"):
        compile_expression(source).evaluate(LARGE)


def test_a_result_of_more_than_a_mebibyte_is_refused():
    with pytest.raises(Permanent, match="bytes, more than the 1048576 allowed"):
        compile_expression("[params.text, params.text]").evaluate(LARGE)


def test_large_data_can_still_be_filtered():
    assert compile_expression("params.rows[?a == `8999`].b").evaluate(LARGE) == ["t" * 40]
    assert compile_expression("length(params.list)").evaluate(LARGE) == 20_000


def test_text_and_numbers_have_no_order():
    assert compile_expression("params.city < params.days").evaluate(SCOPE) is None
    assert compile_expression("params.no < params.days").evaluate(SCOPE) is None
    assert compile_expression("'a' < 'b'").evaluate(SCOPE) is True


def test_equal_expressions_are_equal():
    assert compile_expression("params.x") == compile_expression("params.x")
    assert compile_expression("params.x") != compile_expression("params.y")
