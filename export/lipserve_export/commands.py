"""The commands of `lipserve export`, but those of the tier latentsync.

The modules that do the work load torch or onnx: they are imported where they are used, so that `--help` is
instant and a missing package is named.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from lipserve.errors import SetupError
from lipserve_export.arguments import LIPWARP
from lipserve_export.command_line import say


def export_faces(options: argparse.Namespace) -> None:
    from lipserve_export.faces import leaves

    if options.scrfd is not None and (options.yunet is not None or options.allow_unpinned):
        raise SetupError(
            "--scrfd takes the place of YuNet: --yunet and --allow-unpinned have no meaning beside it.",
            "Leave out --scrfd, or the other two.",
        )
    leaves.export_faces(
        options.repository, say, options.mediapipe, options.yunet, options.allow_unpinned,
        options.scrfd, options.landmarks106,
    )  # fmt: skip


def export_wav2lip(options: argparse.Namespace) -> None:
    from lipserve_export.wav2lip.leaf import export_generator, from_checkpoint, from_seed, shipped

    if options.random_seed is not None:
        generator = from_seed(options.random_seed, options.variant or "compressed")
    elif options.variant is not None:
        raise SetupError(
            "--variant can only be used with --random-seed.",
            "Leave it out: the variant of a checkpoint is detected.",
        )
    else:
        generator = from_checkpoint(options.checkpoint or shipped())
    if options.framing is not None:
        generator = replace(generator, framing=options.framing)
    export_generator(options.repository, generator, say)


def export_lipwarp(options: argparse.Namespace) -> None:
    from lipserve_export.lipwarp import leaves

    given = {leaf: getattr(options, leaf) for leaf in LIPWARP}
    leaves.export_lipwarp(options.repository, {leaf: path for leaf, path in given.items() if path}, say)


def engines(options: argparse.Namespace) -> None:
    from lipserve_export.engines.build import build_engines

    build_engines(options.repository, say, options.target, options.precision)


def fetch(options: argparse.Namespace) -> None:
    from lipserve_export.fetch import published

    if options.name is None:
        published.show(say)
    else:
        published.fetch(options.name, options.accept_licence, options.folder, say)


def verify(options: argparse.Namespace) -> None:
    from lipserve_export.graphs import verify as graphs

    graphs.verify(options.repository, say)


def export_all(options: argparse.Namespace) -> None:
    export_faces(options)
    export_lipwarp(options)
    export_wav2lip(options)
    verify(options)
