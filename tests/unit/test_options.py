from __future__ import annotations

import json
import re
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from lipserve.errors import InputError, LipServeError, NoFaceError, OptionsError, from_wire
from lipserve.files.picture import Colour, VideoInfo
from lipserve.options import (
    Consent,
    GenerateOptions,
    LatentSyncOptions,
    LipwarpOptions,
    Options,
    PrepareOptions,
    Segment,
    Style,
    parse,
)
from lipserve.options.keywords import DubFields, GenerateFields
from lipserve.tiers import TIERS

INFO = VideoInfo(
    width=640,
    height=360,
    pixel_aspect=Fraction(1),
    fps=Fraction(30000, 1001),
    start=Fraction(1, 3),
    frames=90,
    variable=False,
    still=False,
    rotation=90,
    mirrored=True,
    interlaced=True,
    clock="joined",
    matte="#102030",
    hdr="pq",
    colour=Colour(),
    codec="hevc",
    pixel_format="yuv420p10le",
    has_audio=True,
    warnings=("cut off",),
)


def test_options_survive_the_wire_exactly() -> None:
    segment = Segment(index=1, count=3, first_frame=256, frames=256, first_sample=600, source=INFO)
    sent = Options(crf=20, face="12,34.5", segment=segment)
    got = parse(Options, sent.model_dump_json(exclude_unset=True))
    assert got == sent
    assert got.segment is not None
    assert got.segment.source == INFO
    assert got.model_fields_set == {"crf", "face", "segment"}
    assert parse(GenerateOptions, '{"fps": "30000/1001"}').fps == Fraction(30000, 1001)


@pytest.mark.parametrize("text", [None, b"", ""])
def test_no_text_is_the_defaults(text: bytes | str | None) -> None:
    assert parse(Options, text) == Options()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"crf": 52}', "crf"),
        ('{"colour": "red"}', "There is no option colour"),
        ('{"fcae": "all"}', "There is no option fcae; did you mean face?"),
        ('{"crf": 99}', "Option crf=99: it should be less than or equal to 51"),
        ('{"face": "nobody"}', "not a valid choice of a face"),
        ('{"on_no_face": "shrug"}', "on_no_face"),
        ('{"matte": "#12345"}', "matte"),
        ('{"matte": "white\\n"}', "matte"),
        ('{"sync_offset_ms": 501}', "sync_offset_ms"),
        ("[]", "JSON"),
        ("{", "JSON"),
        ('{"segment": {"index": 0}}', "segment"),
    ],
)
def test_nonsense_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(OptionsError, match=re.escape(named)):
        parse(Options, text)


@pytest.mark.parametrize("fields", [{"crf": 99}, {"fcae": "all"}, {"face": "nobody"}], ids=str)
def test_options_that_are_made_are_held_to_the_same(fields: dict[str, Any]) -> None:
    with pytest.raises(OptionsError):
        Options(**fields)


def test_the_keywords_of_calls_are_the_options_own_fields() -> None:
    assert DubFields.__annotations__.keys() == Options.model_fields.keys()
    stages = {name for tier in TIERS.values() if tier.paints for name in tier.options.model_fields}
    assert GenerateFields.__annotations__.keys() == stages - {"fps", "frames"}


def test_a_text_that_is_no_fraction_is_refused() -> None:
    for fps in ("1/0", "fast", "0", "-25", "121"):
        with pytest.raises(OptionsError, match="fps"):
            parse(GenerateOptions, f'{{"fps": "{fps}"}}')


@pytest.mark.parametrize(
    "changes",
    [
        {"fps": Fraction(1, 1000)},
        {"fps": Fraction(999, 100)},
        {"fps": Fraction(61)},
        {"fps": Fraction(25 * 2**30 + 1, 2**30)},
        {"pixel_aspect": Fraction(100_000_000_000_001, 100_000_000_000_000)},
        {"pixel_aspect": Fraction(2**31 + 1, 2**31)},
        {"start": Fraction(4_000_000_000)},
        {"start": Fraction(-4_000_000_000)},
        {"colour": Colour(primaries="foo")},  # type: ignore[arg-type]
        {"colour": Colour(transfer="foo")},  # type: ignore[arg-type]
        {"colour": Colour(transfer="smpte2084")},  # type: ignore[arg-type]
        {"matte": "#ff00"},
        {"clock": "sundial"},
    ],
    ids=lambda changes: str(*changes.values()),
)
def test_a_segment_claims_of_its_video_only_what_probe_can_tell(changes: dict[str, Any]) -> None:
    segment = Segment(index=1, count=3, first_frame=0, frames=16, first_sample=0, source=INFO)
    text = Options(segment=segment.model_copy(update={"source": replace(INFO, **changes)})).model_dump_json()
    with pytest.raises(OptionsError, match=r"segment\.source"):
        parse(Options, text)


def test_a_segment_carries_every_timestamp_and_rate_that_probe_can_tell() -> None:
    source = replace(
        INFO,
        start=Fraction(4_000_000_000 * 2_147_483_629 - 1, 2_147_483_629),  # of the finest time base
        fps=Fraction(330_090_000, 11_014_001),
        pixel_aspect=Fraction(2_147_483_629, 2_147_483_647),
    )
    segment = Segment(index=1, count=3, first_frame=0, frames=16, first_sample=0, source=source)
    got = parse(Options, Options(segment=segment).model_dump_json(exclude_unset=True)).segment
    assert got is not None
    assert got.source == source


def test_the_option_face_is_checked() -> None:
    assert Options(face="320, 180").point_in(INFO) == (320.0, 180.0)
    assert Options(face="all").point_in(INFO) is None
    for face in ("320, 180", "largest", "all"):
        Options(face=face).check_face()
    for face in ("nose", "-5,10", "1,2,3", ""):
        with pytest.raises(OptionsError, match="face"):
            Options(face=face).check_face()
    with pytest.raises(OptionsError, match="640x360"):
        Options(face="640,10").point_in(INFO)
    assert Options(face="640,10").point_in(replace(INFO, width=641)) == (640.0, 10.0)


@pytest.mark.parametrize(
    "text",
    [
        '{"steps": 0}',
        '{"steps": 101}',
        '{"guidance": NaN}',
        '{"guidance": 5.5}',
        '{"deepcache": 0}',
        '{"resolution": 300}',
        '{"seed": 9223372036854775808}',
        '{"sync_offset_ms": NaN}',
    ],
)
def test_quality_options_are_held_to_their_ranges_by_clip_and_stage(text: str) -> None:
    for kind in (Options, LatentSyncOptions):
        with pytest.raises(OptionsError, match=text[2:6]):
            parse(kind, text)


@pytest.mark.parametrize("strength", [0.49, 1.51, "NaN"])
def test_strength_is_held_to_its_range_by_clip_and_stage(strength: object) -> None:
    for kind in (Options, LipwarpOptions):
        with pytest.raises(OptionsError, match="strength"):
            parse(kind, f'{{"strength": {strength}}}')
        assert parse(kind, '{"strength": 1.5}').strength == 1.5


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"stretches": [{"first": 0, "frames": 289}]}, "stretches.0.frames"),
        ({"stretches": [{"first": 0, "frames": 144}, {"first": 400, "frames": 145}]}, "288 frames in all"),
        ({"stretches": [{"first": i, "frames": 1} for i in range(17)]}, "stretches"),
        ({"stretches": [{"first": -1, "frames": 1}]}, "stretches.0.first"),
        ({"sha256": "ABC"}, "sha256"),
        ({"face": "x" * 33}, "face"),
        ({"strength": 1.0}, "strength"),
    ],
)
def test_prepare_options_are_bounded(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionsError, match=named):
        parse(PrepareOptions, json.dumps(changes))
    sixteen = [{"first": 100 * i, "frames": 18} for i in range(16)]
    assert len(parse(PrepareOptions, json.dumps({"stretches": sixteen})).stretches) == 16


def test_errors_cross_the_wire_with_their_type() -> None:
    sent = NoFaceError("No face was found.", "Send a face.")
    got = from_wire(f"in ensemble 'wav2lip', {sent.to_wire()}")
    assert type(got) is NoFaceError
    assert isinstance(got, InputError)
    assert str(got) == "No face was found. Send a face."
    assert from_wire("something else") is None
    assert type(from_wire("[lipserve:from_the_future] x")) is not LipServeError


def test_style_and_strength_stay_within_the_range_of_strength() -> None:
    styles: tuple[Style, ...] = ("natural", "calm", "lively")
    assert [LipwarpOptions(style=style).opening for style in styles] == [1.0, 0.84, 1.27]
    assert LipwarpOptions(strength=1.4, style="lively").opening == 1.5
    assert LipwarpOptions(strength=0.5, style="calm").opening == 0.5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mark": "\u00fc"}, r"mark='\u00fc'.* Give as mark: .*up to 24 characters of ASCII"),
        ({"mark": "x" * 25}, "Give as mark: "),
        ({"matte": "blue"}, "Give as matte: .*white, black, or #RRGGBB"),
        ({"crf": 99}, "Give as crf: .*51 worst"),
        (
            {"consent": {"who": "Ada", "purpose": "a talk"}},
            "Option consent.when is missing. Give as consent: .*when",
        ),
        (
            {"consent": {"who": " ", "when": "2026-11-30", "purpose": "a talk"}},
            "says nothing.*Give as consent",
        ),
    ],
)
def test_an_option_that_is_wrong_is_told_with_what_it_may_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message) as refused:
        Options(**fields)
    assert "pattern" not in str(refused.value)


@pytest.mark.parametrize("fields", [{}, {"who": "Ada", "purpose": "a talk"}, {"who": "Ada", "more": "x"}])
def test_a_record_of_consent_is_refused_in_the_same_words_alone_and_in_options(
    fields: dict[str, Any],
) -> None:
    with pytest.raises(
        OptionsError, match=r"Option consent\.\w+.* Give as consent: .*JSON with who"
    ) as alone:
        Consent(**fields)
    with pytest.raises(OptionsError) as inside:
        Options(consent=fields)
    assert str(alone.value) == str(inside.value)
