"""A training run's settings: a TOML file, every value checked.

What every run has is here, and the recipe of Wav2Lip's networks; those of the tier lipwarp are in
`lipserve_training.lipwarp.recipes`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lipserve.errors import SetupError
from lipserve_training.data.augment import Strength
from lipserve_training.data.sampler import TRAINING_OFFSET_MS

Positive = Annotated[int, Field(gt=0)]
Precision = Literal["float16", "float32"]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Beta = Annotated[float, Field(ge=0, lt=1)]

_SHIPPED = Path(__file__).resolve().parents[1] / "recipes"


class Table(BaseModel):
    """A table of a recipe: what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Table):
    """Which clips are drawn, and how.

    Attributes:
        hold_out: speakers that are never trained on.
        unheard: clips (their `source`) of training speakers that are never trained on.
        speaker_power: of a speaker's length in the draw: 1 draws every frame alike, 0 every speaker.
    """

    hold_out: tuple[str, ...] = ()
    unheard: tuple[str, ...] = ()
    speaker_power: Annotated[float, Field(ge=0, le=1)] = 0.5


class GeneratorData(Data):
    """The speech that a generator gets.

    Attributes:
        mel_offset_ms: of the window that a frame hears; the generator must be served with the same.
    """

    mel_offset_ms: Annotated[float, Field(ge=-100, le=100)] = TRAINING_OFFSET_MS


class Network(Table):
    """The generator: `width` relative to the original's (the paper's: 0.25), residual layers or not."""

    width: Annotated[float, Field(ge=0.25, le=4, multiple_of=0.25)] = 0.25
    residual: bool = False


class Run(Table):
    """The optimiser's course.

    Attributes:
        warmup: steps in which the learning rate rises; it falls along a cosine after.
        weight_decay: apart from the gradient, as AdamW has it.
        ema: decay of the averaged weights, which are what is exported.
    """

    steps: Positive
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 1e-4
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    warmup: Annotated[int, Field(ge=0)] = 200
    final_rate: Annotated[float, Field(ge=0, le=1)] = 0.02
    weight_decay: Weight = 0
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1247
    log_every: Positive = 50
    save_every: Positive = 1000


class GeneratorRun(Run):
    """A batch of a generator's, and how its result is kept.

    Attributes:
        frames: pictures in a batch, a multiple of 5; they are windows of 5 wherever sync is looked at.
        saved: precision of the weights in the file of the result; the run itself, and its checkpoints, keep
            float32.
    """

    frames: Annotated[int, Field(gt=0, multiple_of=5)] = 80
    saved: Precision = "float32"


class Losses(Table):
    """Weights of the objective's terms; zero leaves a term out.

    Attributes:
        l1, ssim: against the true picture.
        texture: strength of fine detail against the true picture's.
        mouth: share of the weight of l1, ssim and texture that lies on what the server pastes ...
        lips: ... and share that lies on the lips; the rest is even.
        motion: squared error of the lip measures (`lips`) that a linear companion reads off the speech
            embedding: with little data the audio encoder would take long to be asked for anything else.
        reading: the same error of what a small reader, trained along on the true pictures, sees in the
            generated ones: it asks for the mouth's shape, where pixels ask for its colours.
        sync: -ln of the expert's cosine.
        sync_from: share of the run after which sync counts: 0 is the paper's "all", 0.5 its "mid".
        adversarial: of the quality discriminator (teacher).
        channel, teacher_ssim, feature, style, tv: the student's, against its teacher's picture.
    """

    l1: Weight = 0
    ssim: Weight = 0
    texture: Weight = 0
    mouth: Annotated[float, Field(ge=0, le=0.5)] = 0
    lips: Annotated[float, Field(ge=0, le=0.5)] = 0
    motion: Weight = 0
    reading: Weight = 0
    sync: Weight = 0
    sync_from: Annotated[float, Field(ge=0, le=1)] = 0
    adversarial: Weight = 0
    channel: Weight = 0
    teacher_ssim: Weight = 0
    feature: Weight = 0
    style: Weight = 0
    tv: Weight = 0

    @property
    def terms(self) -> set[str]:
        """The names of the terms that have a weight."""
        return {name for name, value in self if value} - {"mouth", "lips", "sync_from"}


class Recipe(Table):
    """Settings of every run."""

    run: Run
    data: Data = Data()


AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


class GeneratorRecipe(Recipe):
    """All settings of a run of an expert, a teacher or a student."""

    run: GeneratorRun
    data: GeneratorData = GeneratorData()
    network: Network = Network()
    losses: Losses = Losses()
    augment: Strength = Strength()


def find(name: str) -> Path:
    """Return the path of a recipe: `name` itself, or that of the shipped recipe so called."""
    shipped = _SHIPPED / f"{name}.toml"
    return shipped if shipped.is_file() and not Path(name).is_file() else Path(name)


def load(path: Path, kind: type[AnyRecipe], steps: int | None = None) -> AnyRecipe:
    """Return the recipe of a TOML file, with another number of steps where that is given.

    Raises:
        SetupError: with what is wrong in it.
    """
    content = _read(path)
    table = content.setdefault("run", {})
    if steps is not None and isinstance(table, dict):
        table["steps"] = steps
    return _checked(path, kind, content)


def load_data(path: Path) -> Data:
    """Return who is trained on and who is not, of a recipe of any kind."""
    table = _read(path).get("data", {})
    known = (
        {key: table[key] for key in Data.model_fields.keys() & table} if isinstance(table, dict) else table
    )
    return _checked(path, Data, known)


_Checked = TypeVar("_Checked", bound=Table)


def _checked(path: Path, kind: type[_Checked], content: Any) -> _Checked:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SetupError(
            f"{path}: {faults}.", "docs/compression.md explains the settings of a recipe."
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        shipped = ", ".join(sorted(file.stem for file in _SHIPPED.glob("*.toml")))
        raise SetupError(
            f"{path} cannot be read: {error}.", f"Give a recipe, a TOML file, or the name of one: {shipped}."
        ) from error
