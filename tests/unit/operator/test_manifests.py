"""What a directory declares, and what its mistakes may not lead to."""

from pathlib import Path

import pytest

from ordinaut.store.declared import Key
from ordinaut_operator.manifests import DirectoryMissing, Scan, Scanner, uid_of

TOOL = """\
apiVersion: ordinaut.io/v1alpha1
kind: Tool
metadata: {name: weather}
spec: {http: {method: POST, url: http://tools.example/weather}}
"""
PIPELINE = """\
apiVersion: ordinaut.io/v1alpha1
kind: Pipeline
metadata: {name: hello}
spec:
  steps:
  - {id: only, uses: weather}
"""
KEY = Key("Tool", "default", "weather")


def scan(directory: Path) -> Scan:
    found = Scanner(directory).scan()
    assert found is not None
    return found


def test_documents_of_all_files_are_found_with_namespace_and_uid(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"{TOOL}---\n{PIPELINE}")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.json").write_text(
        '{"apiVersion": "ordinaut.io/v1alpha1", "kind": "Tool", "metadata": {"name": "mail", "namespace": "team"},'
        ' "spec": {"http": {"method": "POST", "url": "http://tools.example/mail"}}}'
    )
    found = scan(tmp_path).found
    assert set(found) == {KEY, Key("Pipeline", "default", "hello"), Key("Tool", "team", "mail")}
    metadata = found[KEY].document["metadata"]
    assert metadata == {"name": "weather", "namespace": "default", "uid": uid_of(KEY)}


def test_the_uid_of_a_name_is_always_the_same_and_no_other_names(tmp_path: Path) -> None:
    assert uid_of(KEY) == uid_of(Key("Tool", "default", "weather"))
    assert (
        len({uid_of(KEY), uid_of(Key("Pipeline", "default", "weather")), uid_of(Key("Tool", "team", "weather"))}) == 3
    )


def test_hidden_files_and_other_suffixes_are_not_read(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    for name in (".hidden.yaml", ".git/x.yaml", "notes.txt", "a.yaml~"):
        (tmp_path / name).write_text(TOOL)
    assert scan(tmp_path).found == {}


def test_other_kinds_are_ignored_and_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\n---\n{TOOL}")
    found = scan(tmp_path)
    assert set(found.found) == {KEY}
    assert found.ignored == ["a.yaml:1: ConfigMap"]
    assert found.mistakes == []


def test_a_mistake_is_told_with_file_line_field_value_and_remedy(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TOOL.replace("POST", "SEND"))
    found = scan(tmp_path)
    (mistake,) = found.mistakes
    assert mistake.startswith('a.yaml:4: spec.http.method: Unsupported value: "SEND"')
    assert found.found[KEY].mistakes == (mistake,)


def test_a_name_that_is_declared_twice_is_told_and_the_first_counts(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TOOL)
    (tmp_path / "b.yaml").write_text(f"\n{TOOL}".replace("/weather}", "/other}"))
    found = scan(tmp_path)
    assert found.found[KEY].place == "a.yaml:1"
    (mistake,) = found.mistakes
    assert mistake == (
        'b.yaml:2: metadata.name: Duplicate value: "weather": Tool declared at a.yaml:1 already, which counts; '
        "remove one of them"
    )


@pytest.mark.parametrize("broken", ["a: [", "kind: Tool\napiVersion: ordinaut.io/v1alpha1\nmetadata: {}\n"])
def test_a_file_that_cannot_be_read_keeps_what_it_held(broken: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TOOL)
    scanner = Scanner(tmp_path)
    assert scanner.scan() is not None
    (tmp_path / "a.yaml").write_text(broken)
    found = scanner.scan()
    assert found is not None
    assert (found.found, found.kept, found.unsure) == ({}, {KEY}, False)
    assert found.mistakes[0].startswith(("a.yaml:1: not YAML", "a.yaml:"))


def test_a_file_that_could_never_be_read_may_have_held_anything(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: [")
    (tmp_path / "b.yaml").write_text(TOOL)
    found = scan(tmp_path)
    assert (set(found.found), found.unsure) == ({KEY}, True)


def test_a_file_that_is_not_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    (mistake,) = scan(tmp_path).mistakes
    assert mistake == "a.yaml: can't be read: it is not UTF-8 text; make it readable"


def test_nothing_is_told_twice_while_no_file_changes(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TOOL)
    (tmp_path / "b.yaml").write_text("a: [")
    (tmp_path / "c.yaml").write_bytes(b"\xff")
    scanner = Scanner(tmp_path)
    assert scanner.scan() is not None
    assert scanner.scan() is None
    (tmp_path / "a.yaml").unlink()
    found = scanner.scan()
    assert found is not None
    assert found.found == {}


def test_a_copy_from_a_cluster_is_taken_without_what_the_server_wrote(tmp_path: Path) -> None:
    copied = TOOL.replace("{name: weather}", "{name: weather, uid: abc, generation: 7, resourceVersion: '9'}")
    (tmp_path / "a.yaml").write_text(f"{copied}status: {{observedGeneration: 7}}\n")
    found = scan(tmp_path)
    assert found.mistakes == []
    assert found.found[KEY].document["metadata"] == {"name": "weather", "namespace": "default", "uid": uid_of(KEY)}


def test_a_directory_that_does_not_exist_is_told_and_removes_nothing(tmp_path: Path) -> None:
    with pytest.raises(DirectoryMissing, match="there is no directory"):
        Scanner(tmp_path / "nowhere").scan()
