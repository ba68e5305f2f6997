"""
Judging manifests without asking anybody, with the words of kubectl and REST.

``validate`` prints the verdicts, ``apply`` sends nothing as long as one of them is bad.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ordinaut.declaration import examine
from ordinaut.errors import FieldError, Invalid
from ordinaut.resources.yamldocs import Document
from ordinaut_cli import files

Identity = tuple[str, str, str]


@dataclass(slots=True)
class Verdict:
    """What is to be said of one document."""

    document: Document
    title: str
    foreign: bool = False
    errors: list[FieldError] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the verdict as text."""
        if self.foreign:
            return [f"{self.document.source}: {self.title}: skipped, not of ordinaut.io"]
        if not self.errors:
            return [f"{self.document.source}: {self.title}: ok"]
        return files.mistakes(self.document, self.errors)

    def json(self) -> dict[str, Any]:
        """Return the verdict as data."""
        return {
            "source": self.document.source,
            "line": self.document.line,
            "object": self.title,
            "valid": None if self.foreign else not self.errors,
            "errors": [
                {
                    "line": self.document.line_of(error.field),
                    "field": error.field,
                    "message": str(error),
                    "remedy": error.remedy,
                }
                for error in self.errors
            ],
        }


def judge(documents: Iterable[Document], *, namespace: str) -> list[Verdict]:
    """Return what is to be said of each document."""
    seen: dict[Identity, Document] = {}
    return [_judge(document, namespace=namespace, seen=seen) for document in documents]


def _judge(document: Document, *, namespace: str, seen: dict[Identity, Document]) -> Verdict:
    data = files.content(document, namespace=namespace)
    verdict = Verdict(document, files.title(data))
    if files.is_foreign(document):
        verdict.foreign = True
        return verdict
    try:
        resource = examine.check(data)
    except Invalid as invalid:
        verdict.errors = list(invalid.errors)
        return verdict
    identity = (resource.kind, resource.metadata.namespace, resource.metadata.name)
    first = seen.setdefault(identity, document)
    if first is not document:
        place = f"{first.source}:{first.line}"
        verdict.errors = [
            FieldError("metadata.name", resource.metadata.name, f"also declared in {place}", "keep one of them")
        ]
    return verdict
