"""The metrics of one process or of several, to be asked for by name. Pure, and patient with what is not there."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Self

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

_BUCKET: Final = "le"


class Samples:
    """Samples by name; of several processes all of them."""

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self._by_name: dict[str, list[Sample]] = {}
        for sample in samples:
            self._by_name.setdefault(sample.name, []).append(sample)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text that ``/metrics`` answers; raises ``ValueError`` if it is none."""
        return cls(sample for family in text_string_to_metric_families(text) for sample in family.samples)

    @classmethod
    def joined(cls, parts: Iterable["Samples"]) -> Self:
        """Return the samples of several processes."""
        return cls(sample for part in parts for samples in part._by_name.values() for sample in samples)

    def sum(self, name: str, **labels: str) -> float | None:
        """Return the sum over processes and all labels but those given; None if there is no such sample."""
        return self._reduce(sum, name, labels)

    def max(self, name: str, **labels: str) -> float | None:
        """Return the largest: of gauges that every replica reads from PostgreSQL."""
        return self._reduce(max, name, labels)

    def min(self, name: str, **labels: str) -> float | None:
        """Return the smallest."""
        return self._reduce(min, name, labels)

    def labels(self, name: str) -> Iterator[Mapping[str, str]]:
        """Yield the labels of the samples of a name."""
        return (sample.labels for sample in self._by_name.get(name, ()))

    def by(self, name: str, label: str) -> dict[str, float]:
        """Return the sums of a counter by one of its labels."""
        found: dict[str, float] = {}
        for sample in self._by_name.get(name, ()):
            value = sample.labels.get(label, "")
            found[value] = found.get(value, 0.0) + sample.value
        return found

    def quantile(self, name: str, part: float) -> float | None:
        """Return the bound under which a part of a histogram's values lies; None if it has no values, or no bound."""
        bounds: dict[float, float] = {}
        for sample in self._by_name.get(f"{name}_bucket", ()):
            bound = float(sample.labels[_BUCKET])
            bounds[bound] = bounds.get(bound, 0.0) + sample.value
        total = bounds.get(math.inf, 0.0)
        if not total:
            return None
        bound = next(bound for bound in sorted(bounds) if bounds[bound] >= total * part)
        return None if math.isinf(bound) else bound

    def _reduce(self, how: Callable[[list[float]], float], name: str, labels: Mapping[str, str]) -> float | None:
        values = [one.value for one in self._by_name.get(name, ()) if labels.items() <= one.labels.items()]
        finite = [value for value in values if not math.isnan(value)]
        return how(finite) if finite else None
