"""An operator's limits: how they are given, and what a request over one of them is told."""

from __future__ import annotations

import pytest

from lipserve.errors import LimitError, SetupError
from lipserve.files.picture import MAX_PIXELS
from lipserve.options import Options
from lipserve_server.inside.limits import VARIABLE, Limits
from tests.support.videos import FULL_HD


def test_the_default_lets_everything_pass_that_options_allow() -> None:
    limits = Limits()
    limits.check_options(Options(preset="veryslow", crf=0))
    limits.check_steps(100)
    assert limits.pixels == MAX_PIXELS


def test_limits_come_from_the_environment_and_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "crf=10, preset=medium,")
    made = Limits.of(["crf=12", "pixels=2073600"])
    assert (made.crf, made.preset, made.pixels) == (12, "medium", 2073600)
    monkeypatch.setenv(VARIABLE, str(made))
    assert Limits.of() == made


@pytest.mark.parametrize(
    "text", ["crf", "crf=", "crf=52", "crf=-1", "crf=a", "preset=fastest", "pixel=9", "pixels=0", "crf=1=2"]
)
def test_a_text_that_is_no_limit_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(SetupError, match=text.partition("=")[0]):
        Limits.of([text])


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Options(preset="slower"), "preset=slower .* medium at the slowest. Ask for preset=medium"),
        (Options(crf=11), "crf=11 .* 12 at the lowest. Ask for crf=12"),
    ],
)
def test_a_request_over_a_limit_is_told_the_limit_and_the_remedy(asked: Options, told: str) -> None:
    limits = Limits(preset="medium", crf=12)
    with pytest.raises(LimitError, match=told):
        limits.check_options(asked)
    limits.check_options(Options(preset="medium", crf=12))
    limits.check_options(Options(preset="ultrafast", crf=51))


def test_steps() -> None:
    with pytest.raises(LimitError, match=r"steps=21 .* 20 at the most"):
        Limits(steps=20).check_steps(21)


def test_pixels() -> None:
    Limits(pixels=1920 * 1080).check_picture(FULL_HD)
    with pytest.raises(LimitError, match="1920x1080 pixels; this server takes 2073599"):
        Limits(pixels=1920 * 1080 - 1).check_picture(FULL_HD)
