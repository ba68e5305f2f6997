"""
Reads files of manifests the way kubectl does: several YAML or JSON documents in one text, with line numbers kept.

The command line and the watched directory call `read` and hand each document's data to `manifest.parse`; with
`Document.line_of` they say in which line a mistake is. Plain scalars mean what they mean to Go's YAML, and so to the
API server: dates stay text, ``1:30`` is no number. Files are not trusted: repeated keys, aliases that multiply and
nesting without end are refused.
"""

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import yaml

from ordinaut.errors import FieldError, Invalid, shown
from ordinaut.resources.jsonvalue import MAX_DEPTH

MAX_SIZE: Final = 2 * 1024 * 1024
"""Characters of one file; etcd holds objects of at most 1.5 MiB."""

MAX_VALUES: Final = 100_000
"""Values in one document once its aliases are followed."""

_MERGE: Final = "tag:yaml.org,2002:merge"
_STEP: Final = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file: its plain ``data``, and the ``source`` and ``line`` it came from."""

    data: Any
    source: str
    line: int
    _node: yaml.Node = field(repr=False, compare=False)

    def line_of(self, path: str) -> int:
        """Return the line of the value at ``path``, or of the nearest value around it that the file has."""
        node, line = self._node, self.line
        for name, index in _STEP.findall(path):
            found = _child(node, name=name, index=index)
            if found is None:
                break
            node, line = found
        return line


def read(text: str, *, source: str) -> list[Document]:
    """
    Return the documents in ``text``, empty ones left out; the items of a ``List`` count as documents.

    ``source`` is the name of the file, for messages. Raises `Invalid` if the text is not YAML that can be trusted.
    """
    if len(text) > MAX_SIZE:
        raise Invalid([FieldError(source, [], "too large a file", f"keep it within {MAX_SIZE} characters")])
    documents: list[Document] = []
    try:
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            data = loader.construct_document(node) if node else None
            if node and data is not None:
                documents += _unpacked(Document(data, source, node.start_mark.line + 1, node))
    except (yaml.YAMLError, ValueError) as error:
        raise Invalid([_not_yaml(error, source)]) from None
    return documents


class _Loader(yaml.SafeLoader):
    """Resolves plain scalars as Go's YAML does, and refuses what no manifest needs."""

    bool_values: ClassVar[dict[str, bool]] = yaml.SafeLoader.bool_values | {"y": True, "n": False}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[int, int] = {}

    def compose_document(self) -> yaml.Node | None:
        self._sizes = {}
        return super().compose_document()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node, within bounds of depth and of size, an alias counting as much as what it stands for."""
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _refusal(f"nested too deeply: keep within {MAX_DEPTH} levels", event)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(event, yaml.AliasEvent) and id(node) not in self._sizes:
            raise _refusal("an alias of what it stands in: write it out", event)
        size = self._sizes.setdefault(id(node), 1 + sum(self._sizes[id(inner)] for inner in _inner(node)))
        if size > MAX_VALUES:
            raise _refusal(f"too many values: keep within {MAX_VALUES}, aliases followed", event)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Construct a mapping whose keys are all different."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                if key.value in seen:
                    problem = f"the name {shown(key.value)} stands here twice: keep one of them"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


_GO_INT: Final = re.compile(r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)\Z")
_GO_FLOAT: Final = re.compile(
    r"([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z"
)
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, shape) for tag, shape in known if tag.rpartition(":")[2] not in {"timestamp", "int", "float", "value"}
    ]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]\Z"), list("yYnN"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _GO_INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _GO_FLOAT, list("-+.0123456789"))


def _refusal(problem: str, event: yaml.Event) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type] # C's marks are like Python's


def _inner(node: yaml.Node | None) -> list[yaml.Node]:
    """Return the nodes directly inside ``node``."""
    if isinstance(node, yaml.MappingNode):
        return [one for pair in node.value for one in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _child(node: yaml.Node, *, name: str, index: str) -> tuple[yaml.Node, int] | None:
    """Return the value inside ``node`` and its line, by name or by index."""
    if isinstance(node, yaml.MappingNode):
        return next(((value, key.start_mark.line + 1) for key, value in node.value if key.value == name), None)
    if isinstance(node, yaml.SequenceNode) and index and int(index) < len(node.value):
        item = node.value[int(index)]
        return item, item.start_mark.line + 1
    return None


def _unpacked(document: Document) -> list[Document]:
    """Return the items of a ``List``, as ``kubectl get -o yaml`` prints them, or the document itself."""
    data = document.data
    if not isinstance(data, dict) or data.get("kind") != "List" or not isinstance(data.get("items"), list):
        return [document]
    found = _child(document._node, name="items", index="")
    items = _inner(found[0]) if found else []
    return [
        Document(item, document.source, node.start_mark.line + 1, node)
        for item, node in zip(data["items"], items, strict=True)
    ]


def _not_yaml(error: Exception, source: str) -> FieldError:
    """Return the mistake that stands for what PyYAML complains of, at its place."""
    mark = getattr(error, "problem_mark", None)
    place = f"{source}:{mark.line + 1}" if mark else source
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return FieldError(place, [], f"not YAML: {problem}", "correct the file")
