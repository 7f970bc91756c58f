"""What a tier is, and that it is said in one place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from lipserve import tiers
from lipserve.contracts import DEFAULT_TIER, MODELS, PIPELINES, TIER_NAMES, of_tier
from lipserve.errors import OptionsError
from lipserve.geometry import Painting
from lipserve.options import LatentSyncOptions, Options, parse
from lipserve.segments import Span
from lipserve.tiers import LATENTSYNC, TIERS, WAV2LIP, CropForm, Tier, named
from lipserve.wav2lip.box import Box
from lipserve.wav2lip.geometry import Similarity

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (
    "lipserve",
    "model_repository",
    "server",
    "client",
    "export",
    "training",
    "ops",
    "demo",
    "bench",
    "observe",
)
EVERY = list(TIERS.values())
IDS = list(TIERS)
OBJECTS = {name for name, value in vars(tiers).items() if isinstance(value, Tier)}


def files() -> list[Path]:
    """Return the Python sources that may not know one tier from another."""
    allowed = {ROOT / "lipserve/tiers.py", *(ROOT / "lipserve/contracts").glob("*.py")}
    found = (path for folder in SOURCES for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if path not in allowed)


def names_a_tier(node: ast.AST) -> bool:
    """Whether an expression is a tier's name or its object, or a list of some."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(map(names_a_tier, node.elts))
    if isinstance(node, ast.Attribute) and node.attr == "name":
        return names_a_tier(node.value)
    if isinstance(node, ast.Name | ast.Attribute):
        return (node.id if isinstance(node, ast.Name) else node.attr) in OBJECTS
    return isinstance(node, ast.Constant) and node.value in TIER_NAMES


def decisions(tree: ast.AST) -> Iterator[int]:
    """Yield the lines on which something depends on which tier it is: tests, tables, defaults."""
    for node in ast.walk(tree):
        parts: list[Any] = []
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            parts = [key for key in node.keys if key is not None]
        elif isinstance(node, ast.MatchValue):
            parts = [node.value]
        elif isinstance(node, ast.arguments):
            parts = [value for value in (*node.defaults, *node.kw_defaults) if value is not None]
        elif isinstance(node, ast.keyword):
            parts = [node.value] if node.arg == "default" else []
        elif isinstance(node, ast.AnnAssign):
            parts = [node.value] if node.value is not None else []
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            parts = node.args if node.func.attr in ("startswith", "endswith", "get") else []
        for part in filter(names_a_tier, parts):
            yield part.lineno


def test_nothing_else_decides_by_the_tier() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in files()
        for line in decisions(ast.parse(path.read_text()))
    ]
    assert not found, "say it in lipserve/tiers.py"


@pytest.mark.parametrize(
    "text",
    [
        'if tier == "wav2lip": pass',
        'x = 1 if "latentsync" != self.tier else 2',
        'if tier in ("wav2lip", "other"): pass',
        "if tier is LATENTSYNC: pass",
        "if tiers.WAV2LIP == tier: pass",
        "if tier.name == WAV2LIP.name: pass",
        'X = {"wav2lip": 3000, "latentsync": 320}',
        "X = {WAV2LIP.name: 3000}",
        'def f(tier: str = "wav2lip"): pass',
        'def f(*, tier: str = "wav2lip"): pass',
        'add("--tier", default="wav2lip")',
        'TIERS: tuple[str, ...] = ("wav2lip", "latentsync")',
        'if name.startswith("latentsync"): pass',
        'match tier:\n    case "wav2lip": pass',
    ],
)
def test_a_decision_is_found(text: str) -> None:
    assert list(decisions(ast.parse(text)))


def test_a_tier_that_is_only_named_is_no_decision() -> None:
    text = (
        'client.dub(video, audio, tier=WAV2LIP.name)\nadd_parser("wav2lip")\nPreprocess(LATENTSYNC, leaves)'
    )
    assert not list(decisions(ast.parse(text)))


def test_the_sources_are_looked_through() -> None:
    named_here = {str(path.relative_to(ROOT)) for path in files()}
    assert {
        "server/lipserve_server/inside/stages/context.py",
        "client/lipserve_client/_clip.py",
    } <= named_here
    assert len(named_here) > 150


def test_every_name_has_its_object_and_its_models() -> None:
    assert tuple(TIERS) == tuple(PIPELINES) == TIER_NAMES
    assert [tier.name for tier in EVERY] == list(TIERS)
    assert DEFAULT_TIER in TIERS
    with pytest.raises(OptionsError, match=f"one of: {', '.join(TIER_NAMES)}"):
        named("tertiary")  # type: ignore[arg-type]
    with pytest.raises(FrozenInstanceError):
        WAV2LIP.max_frames = 1  # type: ignore[misc]


@pytest.mark.parametrize("tier", EVERY, ids=IDS)
def test_a_tiers_models_are_named_after_it_and_are_there(tier: Tier) -> None:
    pipeline = tier.pipeline
    assert pipeline.ensemble.name == tier.name
    assert pipeline.generate.name == f"{tier.name}_generate"
    assert {step.model for step in pipeline.ensemble.steps} <= {stage.name for stage in pipeline.stages}
    assert all(MODELS[model.name] == model for model in of_tier(tier.name))
    held = [model.name for model in of_tier(tier.name) if model.kind == "leaf"]
    assert set(tier.generators) <= set(held)


@pytest.mark.parametrize("tier", EVERY, ids=IDS)
def test_a_request_may_bring_all_the_speech_that_its_frames_hear(tier: Tier) -> None:
    """Of the largest request, in the middle of a long speech, at any offset."""
    fps, samples = Fraction(25), 16_000 * 1000
    for first in (0, 5000, 20_011):
        for offset in (-500.0, 0.0, 500.0):
            heard = tier.speech_span(
                Span(first, tier.max_frames), fps, samples, Options(sync_offset_ms=offset)
            )
            assert heard.first % 200 == 0
            assert heard.count / 16_000 <= float(tier.max_frames / fps) + tier.speech_around


@pytest.mark.parametrize("tier", EVERY, ids=IDS)
def test_a_segment_is_no_larger_than_a_request_may_be(tier: Tier) -> None:
    assert min(tier.segment.seconds * 120, tier.segment.frames) < tier.max_frames


@pytest.mark.parametrize("tier", EVERY, ids=IDS)
def test_the_generate_stage_is_told_of_the_whole_speech_where_it_asks(tier: Tier) -> None:
    assert tier.whole_speech == ({"total_samples", "peak"} <= tier.options.model_fields.keys())


@pytest.mark.parametrize("tier", EVERY, ids=IDS)
def test_options_for_little_work_are_the_tiers_own(tier: Tier) -> None:
    for given in (tier.least, tier.quick):
        assert tier.check(Options(**given)).model_fields_set == set(given)
        tier.options(**given)


def test_a_tier_has_its_geometry() -> None:
    assert WAV2LIP.geometry(CropForm(512)).size == 96
    assert [LATENTSYNC.geometry(CropForm(resolution)).size for resolution in (256, 512)] == [256, 512]
    assert WAV2LIP.geometry(CropForm()) == Similarity(96)
    assert WAV2LIP.geometry(CropForm(framing="box")) == Box(96)
    assert (WAV2LIP.has_forms, LATENTSYNC.has_forms) == (False, True)
    forms = (CropForm(), CropForm(framing="box"))
    assert all(isinstance(tier.geometry(form), Painting) for tier in (WAV2LIP, LATENTSYNC) for form in forms)


def test_the_quality_tiers_options_mean_nothing_to_the_fast_one() -> None:
    with pytest.raises(OptionsError, match=r"steps cannot be used in the tier wav2lip.* tier latentsync"):
        WAV2LIP.check(parse(Options, '{"steps": 20}'))
    assert LATENTSYNC.check(parse(Options, '{"steps": 20}')).steps == 20
    with pytest.raises(OptionsError, match="not a valid choice of a face"):
        WAV2LIP.check(Options(face="nose"))


def test_every_option_of_the_quality_tier_is_its_own() -> None:
    given = {
        "steps": 3,
        "guidance": 2.0,
        "scheduler": "dpm++",
        "seed": 1,
        "deepcache": 3,
        "resolution": 512,
        "reference": True,
    }
    assert given.keys() == LATENTSYNC.own_options
    assert WAV2LIP.own_options == frozenset()
    for name, value in given.items():
        with pytest.raises(OptionsError, match=name):
            WAV2LIP.check(Options(**{name: value}))  # type: ignore[arg-type]
        assert getattr(LATENTSYNC.check(Options(**given)), name) == value  # type: ignore[arg-type]
        assert getattr(LatentSyncOptions(**given), name) == value  # type: ignore[arg-type]
