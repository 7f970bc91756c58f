from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lipserve_server.pod.prometheus import Family, Sample, parse, render

PAGE = """\
# HELP nv_inference_pending_request_count Instantaneous number of pending requests awaiting execution
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="wav2lip_preprocess",version="1"} 3
lipserve_frames_total 1.5e+03
lipserve_stage_seconds_bucket{stage="wav2lip_preprocess",le="+Inf"} 7
nv_cpu_utilization NaN
"""


def test_tritons_page_is_read() -> None:
    samples = parse(PAGE)
    assert samples[:3] == [
        Sample("nv_inference_pending_request_count", {"model": "wav2lip_preprocess", "version": "1"}, 3.0),
        Sample("lipserve_frames_total", {}, 1500.0),
        Sample("lipserve_stage_seconds_bucket", {"stage": "wav2lip_preprocess", "le": "+Inf"}, 7.0),
    ]
    assert len(samples) == 4


def test_what_is_no_sample_is_left_out() -> None:
    assert parse("<html>\n\n# comment\nname_only\n") == []


def test_a_page_is_rendered() -> None:
    family = Family("lipserve_model_healthy", "gauge", "0: dead.").set(1, model="a").set(False, model="b")
    assert render([family]) == (
        "# HELP lipserve_model_healthy 0: dead.\n"
        "# TYPE lipserve_model_healthy gauge\n"
        'lipserve_model_healthy{model="a"} 1\n'
        'lipserve_model_healthy{model="b"} 0\n'
    )


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="ascii", exclude_characters='\\"}\n\r\x0b\x0c\x1c\x1d\x1e\x85')),
)
def test_what_is_rendered_is_read_back(value: float, label: str) -> None:
    (sample,) = parse(render([Family("name", "gauge", "text").set(value, path=label)]))
    assert sample == Sample("name", {"path": label}, value)
