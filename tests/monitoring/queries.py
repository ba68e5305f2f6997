"""
What a PromQL expression asks for: which metrics, with which labels and values. promtool says whether it is valid; this
says whether what it asks for can ever be there.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tests.monitoring.scraping import TARGET_LABELS, Scrape

_SELECTOR = re.compile(r"\b((?:ordinaut|process)_[a-z_]+)(?:\{([^}]*)\})?(?=[^a-z_]|$)")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\(([^)]*)\)")


@dataclass(frozen=True)
class Selector:
    """A metric that an expression names, with its matchers as label, operator and value."""

    metric: str
    matchers: list[tuple[str, str, str]]


def selectors(expression: str) -> list[Selector]:
    """Return the selectors of an expression; names of labels that look like metrics are not there in ours."""
    return [Selector(name, _MATCHER.findall(inner)) for name, inner in _SELECTOR.findall(expression)]


def grouped_by(expression: str) -> set[str]:
    """Return all labels by which an expression groups or matches."""
    return {label.strip() for found in _GROUPING.findall(expression) for label in found.split(",") if label.strip()}


def labels_of(scrapes: Iterable[Scrape]) -> dict[str, dict[str, set[str]]]:
    """Return the labels of each series' name that was scraped, with their values."""
    found: dict[str, dict[str, set[str]]] = {}
    for scrape in scrapes:
        for one in scrape.series:
            values = found.setdefault(one.name, {})
            for label, value in one.labels.items():
                values.setdefault(label, set()).add(value)
    return found


def mistakes(expression: str, there: Mapping[str, Mapping[str, set[str]]]) -> Iterator[str]:
    """Yield what an expression asks for that was never scraped."""
    asked = selectors(expression)
    if not asked:
        yield f"no metric in {expression}"
    known = set(TARGET_LABELS)
    for one in asked:
        if one.metric not in there:
            yield f"nobody shows {one.metric}"
            continue
        labels = there[one.metric]
        known |= set(labels)
        for label, operator, value in one.matchers:
            if label in TARGET_LABELS:
                continue
            if label not in labels:
                yield f"{one.metric} has no label {label}"
            elif wrong := [part for part in value.split("|") if operator in {"=", "=~"} and part not in labels[label]]:
                yield f"{one.metric} has no {label} {wrong}"
    yield from (
        f"nothing has a label {label}, by which {expression} groups" for label in grouped_by(expression) - known
    )
