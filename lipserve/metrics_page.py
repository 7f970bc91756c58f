"""The samples of a metrics page in Prometheus' text format: Triton's, and that of a pod's health port."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

_MOST_CHARACTERS = 8192  # of a line: the parser's time grows with the square of a label's length


def read_samples(page: str) -> list[Sample]:
    """Return the samples of a page in its order, under the names that stand in it.

    Lines are read one by one and without their comments, because the parser adds `_total` to the name of a
    counter that ends otherwise (most of Triton's), where it is told the type.

    Returns:
        `name`, `labels` (a dict) and `value` (a float, which may be infinite or not a number) of each sample.

    Raises:
        ValueError: a line is no sample; the message quotes it.
    """
    samples = []
    for number, line in enumerate(page.split("\n"), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            samples.append(_sample(text, number))
    return samples


def _sample(line: str, number: int) -> Sample:
    try:
        if len(line) > _MOST_CHARACTERS:
            raise ValueError(f"it has more than {_MOST_CHARACTERS} characters")
        (family,) = text_string_to_metric_families(line)
        (sample,) = family.samples
        return sample._replace(value=float(sample.value))
    except (ValueError, IndexError, OverflowError) as error:
        raise ValueError(f"line {number} of the metrics is no sample: {line[:80]!r} ({error})") from None


def sums(samples: Iterable[Sample], name: str, label: str = "") -> dict[str, float]:
    """Return the values of one metric, added up by a label; 0 for a value of the label that is not there.

    Args:
        label: what to add up by; a sample without it, and every sample where none is named, counts under "".

    Raises:
        ValueError: a value is infinite or not a number, so it counts nothing.
    """
    found: dict[str, float] = defaultdict(float)
    for sample in samples:
        if sample.name == name:
            if not math.isfinite(sample.value):
                raise ValueError(f"{name} is {sample.value} in the metrics, and counts nothing")
            found[sample.labels.get(label, "")] += sample.value
    return found
