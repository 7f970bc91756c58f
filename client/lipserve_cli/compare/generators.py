"""The generators of a comparison: their weights, and a model repository for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lipserve.contracts import FACE_DETECTOR, FACE_LANDMARKS, Framing
from lipserve.errors import SetupError

VARIANTS = ("original", "compressed")
SEED = 1247  # of random weights
_FACE_MODELS = (FACE_DETECTOR.name, FACE_LANDMARKS.name)


@dataclass(frozen=True)
class Choice:
    """A generator to compare: a checkpoint, or, if that is None, a variant of VARIANTS.

    `compressed` is the generator that comes with LipServe, `original` has seeded random weights: none of
    it may be shipped.
    """

    name: str
    checkpoint: Path | None = None
    variant: str = ""


@dataclass(frozen=True)
class Generator:
    """A generator with its model repository.

    Attributes:
        repository: a model repository with this generator.
        weights: where they come from.
        variant: the network: `original`, `compressed`, or its width and form.
        parameters: learnt numbers, as published (BatchNorm unfolded).
        macs: multiplications of one frame, a transposed convolution counted on its input grid.
        framing: of the crops that it knows: `similarity` or `box`.
    """

    name: str
    repository: Path
    weights: str
    variant: str
    parameters: int
    macs: int
    framing: Framing

    @property
    def random(self) -> bool:
        return self.weights.startswith("random")

    @property
    def origin(self) -> str:
        """Origin of the weights, and its effect on the picture."""
        return f"{self.weights}: the mouth is noise" if self.random else self.weights


def choose(first: str, second: str) -> tuple[Choice, Choice]:
    """Return the two choices under different names: a checkpoint's file, or one of VARIANTS.

    Raises:
        SetupError: an argument is neither.
    """
    one, other = _choice(first), _choice(second)
    if one.name == other.name:
        one, other = replace(one, name=f"{one.name} (first)"), replace(other, name=f"{other.name} (second)")
    return one, other


def _choice(text: str) -> Choice:
    if text in VARIANTS:
        return Choice(text, variant=text)
    path = Path(text)
    if not path.is_file():
        raise SetupError(
            f"There is no file {text}.", f"Give the file of a checkpoint, or one of: {', '.join(VARIANTS)}."
        )
    return Choice(path.stem, path)


def check_face_models(repository: Path) -> None:
    """Raise SetupError if a model repository lacks one of the face models."""
    missing = [name for name in _FACE_MODELS if not _graph(repository, name).is_file()]
    if missing:
        raise SetupError(
            f"{repository} has no {' and no '.join(missing)}.", f"Run: lipserve export faces -o {repository}"
        )


def export(
    choices: Sequence[Choice], faces: Path, folder: Path, say: Callable[[str], None]
) -> list[Generator]:
    """Make a model repository in `folder` for each choice; checkpoints are read before any is made.

    Args:
        faces: a model repository whose face networks they share.

    Raises:
        SetupError: a package is missing, a file is no checkpoint of a generator, the folder is full.
    """
    from lipserve_export.wav2lip import leaf as exporter

    read = {
        choice.checkpoint: exporter.from_checkpoint(choice.checkpoint or exporter.shipped())
        for choice in choices
        if choice.variant != "original"
    }
    made = []
    for index, choice in enumerate(choices):
        if choice.variant == "original":
            generator = exporter.from_seed(SEED, choice.variant)
        else:
            generator = read[choice.checkpoint]
        repository = folder / f"repository_{index}"
        manifest = exporter.export_generator(repository, generator, say)
        for name in _FACE_MODELS:
            graph, link = _graph(faces, name).resolve(), _graph(repository, name)
            link.parent.mkdir(parents=True)
            link.symlink_to(graph)
            link.with_name("manifest.json").symlink_to(graph.with_name("manifest.json"))
        made.append(
            Generator(
                choice.name,
                repository,
                manifest.weights,
                manifest.variant,
                manifest.parameters,
                manifest.macs,
                manifest.framing or "similarity",
            )
        )
    return made


def _graph(repository: Path, model: str) -> Path:
    return repository / model / "1" / "model.onnx"
