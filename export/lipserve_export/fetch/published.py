"""`lipserve export fetch`: download public weights of the tier latentsync from their publishers.

Nothing calls this but the command, and the command only with the user's word that the licence is accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lipserve.errors import SetupError
from lipserve_export.fetch.download import Source, download
from lipserve_export.fetch.files import cache_folder

_HUB = "https://huggingface.co"
_OPENRAIL = (
    "OpenRAIL++",
    "any use, commercial too, but for those that it forbids; whoever you give the weights, or a service of "
    "them, must be bound to the same restrictions",
)
_MIT = ("MIT", "any use; the notice goes with every copy")


@dataclass(frozen=True)
class Weights:
    """A file that somebody else publishes.

    Attributes:
        file: what it is called here.
        licence: its name, and what it asks for in a sentence.
        page: where the publisher says so.
        options: of `lipserve export latentsync`, which takes it; the last is its own.
    """

    file: str
    source: Source
    licence: tuple[str, str]
    page: str
    options: str


def _on_hub(repository: str, revision: str, name: str, size: int, sha256: str) -> Source:
    return Source(f"{_HUB}/{repository}/resolve/{revision}/{name}", size, sha256)


PUBLISHED = {
    "latentsync-1.5": Weights(
        "latentsync-1.5.pt",
        _on_hub(
            "ByteDance/LatentSync-1.5",
            "32a20d29aead0498e3e885e90dbbe8027da1b61b",
            "latentsync_unet.pt",
            5_072_348_184,
            "6440b49a7ccceff56cdc001f5f17605216337f5bbd66fa360139768926e23f51",
        ),
        _OPENRAIL,
        f"{_HUB}/ByteDance/LatentSync-1.5",
        "--unet",
    ),
    "latentsync-1.6": Weights(
        "latentsync-1.6.pt",
        _on_hub(
            "ByteDance/LatentSync-1.6",
            "c42c7e6c8e9c213626389fa7d9a3c444b8536353",
            "latentsync_unet.pt",
            5_072_222_488,
            "0a478e89eb660f82da4c35dbdde8a5adfb27f99d1b4e50edd03729e1e98316d3",
        ),
        _OPENRAIL,
        f"{_HUB}/ByteDance/LatentSync-1.6",
        "--resolution 512 --unet",
    ),
    "sd-vae-ft-mse": Weights(
        "sd-vae-ft-mse.safetensors",
        _on_hub(
            "stabilityai/sd-vae-ft-mse",
            "31f26fdeee1355a5c34592e401dd41e45d25a493",
            "diffusion_pytorch_model.safetensors",
            334_643_276,
            "a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815",
        ),
        _MIT,
        f"{_HUB}/stabilityai/sd-vae-ft-mse",
        "--vae",
    ),
    "whisper-tiny": Weights(
        "whisper-tiny.pt",
        Source(
            "https://openaipublic.azureedge.net/main/whisper/models/"
            "65147644a518d12f04e32d6f3b26facc3f8dd46e5390956a9424a650c0ce22b9/tiny.pt",
            75_572_083,
            "65147644a518d12f04e32d6f3b26facc3f8dd46e5390956a9424a650c0ce22b9",
        ),
        _MIT,
        "https://github.com/openai/whisper",
        "--whisper",
    ),
}
"""By the name that the command takes. Revisions, sizes and digests: docs/export.md says where from."""


def show(say: Callable[[str], None]) -> None:
    """List the weights that can be downloaded, with licence and size."""
    for name, weights in PUBLISHED.items():
        say(f"{name:15} {weights.source.bytes / 1e6:6,.0f} MB  {weights.licence[0]:11} {weights.page}")
    say("lipserve export fetch NAME --accept-licence [-o FOLDER]")


def fetch(name: str, accepted: bool, folder: Path | None, say: Callable[[str], None]) -> Path:
    """Return the file of that name, downloaded into `folder` (default: the cache) unless it is there.

    Raises SetupError where the licence is not accepted, the name is unknown or the download fails.
    """
    if name not in PUBLISHED:
        raise SetupError(f"There are no weights named {name}.", f"Known: {', '.join(PUBLISHED)}.")
    weights = PUBLISHED[name]
    licence, terms = weights.licence
    say(f"{name}, {weights.page}: {licence}: {terms}.")
    if not accepted:
        raise SetupError(
            f"The licence of {name} is not accepted.",
            f"Read it at {weights.page}. If you accept it: lipserve export fetch {name} --accept-licence",
        )
    path = (folder or cache_folder()) / weights.file
    download(weights.source, path, say)
    say(f"{path}: for lipserve export latentsync {weights.options} {path}")
    return path
