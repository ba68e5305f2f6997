import time

import pytest

from ordinaut.errors import Invalid
from ordinaut.resources import yamldocs
from ordinaut.resources.yamldocs import Document, read


def _only(text: str) -> Document:
    (document,) = read(text, source="tasks.yaml")
    return document


def _refusal(text: str) -> str:
    with pytest.raises(Invalid) as refused:
        read(text, source="tasks.yaml")
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_file_holds_several_documents_and_empty_ones_do_not_count() -> None:
    documents = read("# nothing\n---\na: 1\n---\n---\n# still nothing\n---\nb: [2]\n", source="tasks.yaml")
    assert [(one.data, one.source, one.line) for one in documents] == [
        ({"a": 1}, "tasks.yaml", 3),
        ({"b": [2]}, "tasks.yaml", 8),
    ]


def test_json_is_read_too() -> None:
    assert _only('{"a": [1, "b", null, true]}').data == {"a": [1, "b", None, True]}


def test_the_items_of_a_list_count_as_documents() -> None:
    documents = read("apiVersion: v1\nkind: List\nitems:\n- a: 1\n-\n  b: 2\n", source="tasks.yaml")
    assert [(one.data, one.line) for one in documents] == [({"a": 1}, 4), ({"b": 2}, 6)]


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("2026-03-01T09:00:00Z", "2026-03-01T09:00:00Z"),
        ("2026-03-01", "2026-03-01"),
        ("1:30", "1:30"),
        ("12:30:45", "12:30:45"),
        ("1e3", 1000.0),
        ("010", 8),
        ("0o10", 8),
        ("0x1F", 31),
        ("08", 8.0),
        ("1.50", 1.5),
        ("yes", True),
        ("n", False),
        ("=", "="),
        ("~", None),
        ('"5"', "5"),
        ("0 0 * * *", "0 0 * * *"),
    ],
)
def test_plain_scalars_mean_what_they_mean_to_kubectl(scalar: str, value: object) -> None:
    assert _only(f"a: {scalar}").data == {"a": value}


def test_anchors_and_merge_keys_are_followed() -> None:
    text = "base: &base {a: 1, b: 2}\nmore: {<<: *base, b: 3}\nlist: [*base]\n"
    assert _only(text).data == {"base": {"a": 1, "b": 2}, "more": {"a": 1, "b": 3}, "list": [{"a": 1, "b": 2}]}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("spec", 2),
        ("spec.schedules[0].timeZone", 5),
        ("spec.schedules[1]", 6),
        ("spec.schedules[1].at", 6),
        ("spec.schedules[1].cron", 6),
        ("spec.schedules[7]", 3),
        ("spec.pipelineRef.name", 2),
        ("metadata.name", 1),
        ("", 1),
    ],
)
def test_a_mistake_is_placed_in_its_line_or_that_of_what_is_around_it(path: str, line: int) -> None:
    text = "kind: Task\nspec:\n  schedules:\n  - cron: x\n    timeZone: y\n  - at: z\n"
    assert _only(text).line_of(path) == line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1\nb: }", "tasks.yaml:2: Invalid value: not YAML: expected ',' or ']'"),
        ("a: 1\nb: 2\na: 3", 'tasks.yaml:3: Invalid value: not YAML: the name "a" stands here twice'),
        ("a: &x [*x]", "tasks.yaml:1: Invalid value: not YAML: an alias of what it stands in"),
        ("a: *x", "tasks.yaml:1: Invalid value: not YAML: found undefined alias"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor for the tag"),
        ("a: !!int x", "not YAML: invalid literal for int()"),
        ("? [a]\n: b", "found unhashable key"),
        ("a: \x01", "special characters are not allowed"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_line(text: str, words: str) -> None:
    assert words in _refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{a: " * 100_000,
        "".join(f"{'- ' * depth}a\n" for depth in (1, 70)),
        "".join(
            f"{letter}: &{letter} [{', '.join([f'*{before}'] * 10)}]\n"
            for before, letter in zip("abcdef", "bcdefg", strict=True)
        ).join(["a: &a [1, 1, 1, 1]\n", ""]),
        "a: " + "x" * yamldocs.MAX_SIZE,
    ],
    ids=["flow lists", "flow objects", "block lists", "aliases that multiply", "size"],
)
def test_hostile_files_are_refused_fast(text: str) -> None:
    began = time.process_time()
    assert "tasks.yaml" in _refusal(text)
    assert time.process_time() - began < 5
