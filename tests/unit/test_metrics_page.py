"""What is read of a metrics page: Triton's own, one with difficult labels, and one that is broken."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lipserve.metrics_page import read_samples, sums

PAGE = """\
# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="wav2lip_preprocess",version="1"} 3
# TYPE lipserve_frames_total counter
lipserve_frames_total 1.5e+03

lipserve_stage_seconds_bucket{stage="wav2lip_preprocess",le="+Inf"} 7 1700000000
nv_cpu_utilization NaN
"""


def test_tritons_page_is_read_under_its_own_names() -> None:
    """The library alone would call the first one nv_inference_request_success_total."""
    found = [(sample.name, sample.labels, sample.value) for sample in read_samples(PAGE)]
    assert found[:3] == [
        ("nv_inference_request_success", {"model": "wav2lip_preprocess", "version": "1"}, 3.0),
        ("lipserve_frames_total", {}, 1500.0),
        ("lipserve_stage_seconds_bucket", {"stage": "wav2lip_preprocess", "le": "+Inf"}, 7.0),
    ]
    assert found[3][0] == "nv_cpu_utilization"
    assert math.isnan(found[3][2])
    assert len(found) == 4


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("a}b", "a}b"),
        ("{a,b=c}", "{a,b=c}"),
        (r"C:\\new", r"C:\new"),
        (r"say \"hi\"", 'say "hi"'),
        (r"two\nlines", "two\nlines"),
        (r"end\\", "end\\"),
        (r"\\n", r"\n"),
        ("a # b", "a # b"),
    ],
)
def test_a_label_is_what_was_meant(written: str, label: str) -> None:
    (sample,) = read_samples(f'm{{model="{written}",version="1"}} 3')
    assert (sample.name, sample.labels, sample.value) == ("m", {"model": label, "version": "1"}, 3.0)


class _OneGauge(Collector):
    def __init__(self, label: str, value: float) -> None:
        self._gauge = GaugeMetricFamily("name", "text", labels=["path"])
        self._gauge.add_metric([label], value)

    def collect(self) -> Iterator[Metric]:
        yield self._gauge


@given(
    st.floats(allow_nan=False),
    # Lines end with \n alone: what else Python takes for an end of a line may stand in a label.
    st.text(st.characters(codec="utf-8")),
)
def test_a_page_of_the_library_is_read_back(value: float, label: str) -> None:
    collectors = CollectorRegistry()
    collectors.register(_OneGauge(label, value))
    (sample,) = read_samples(generate_latest(collectors).decode())
    assert (sample.name, sample.labels, sample.value) == ("name", {"path": label}, value)


@pytest.mark.parametrize(
    "line",
    [
        "<html><body>404</body></html>",
        "name_only",
        'm{model="a} 3',
        "m{model=a} 3",
        'm{model="a",model="b"} 3',
        "m three",
        "m " + "9" * 400,
        'm{a="' + '\\"' * 5000 + '"} 1',
        "{",
        "\x00",
    ],
)
def test_a_line_that_is_no_sample_is_quoted(line: str) -> None:
    with pytest.raises(ValueError, match="line 2 of the metrics is no sample: "):
        read_samples(f"good 1\n{line}\n")


@given(st.text(st.sampled_from('a{}"=,#\\ \t1.eE+-NIinf_:\x00é\n'), max_size=40))
def test_whatever_a_page_holds_it_is_read_or_refused(text: str) -> None:
    for page in (text, f'a{{b="{text}'):
        try:
            samples = read_samples(page)
        except ValueError:
            continue
        assert all(isinstance(sample.value, float) for sample in samples)


def test_a_metric_is_added_up_by_a_label() -> None:
    samples = read_samples('m{s="a",i="0"} 1\nm{s="a",i="1"} 2\nm{s="b"} 4\nm 8\nn{s="a"} 16\n')
    assert sums(samples, "m", "s") == {"a": 3.0, "b": 4.0, "": 8.0}
    assert sums(samples, "m") == {"": 15.0}
    assert sums(samples, "absent")["a"] == 0.0


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "9" * 5000])
def test_values_that_are_no_numbers_count_nothing(value: str) -> None:
    with pytest.raises(ValueError, match=r"m is .* in the metrics, and counts nothing"):
        sums(read_samples(f"m 1\nm {value}\n"), "m")
