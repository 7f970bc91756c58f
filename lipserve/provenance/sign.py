"""Sign a finished MP4: its packets stay as they are, and a manifest comes before them."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from lipserve.errors import ProvenanceError, StorageError
from lipserve.provenance import library
from lipserve.provenance.certificate import Certificate
from lipserve.provenance.formats import HEAD, media_type
from lipserve.provenance.manifest import (
    RESULT,
    SOURCE,
    Facts,
    definition,
    ingredient,
    passed_on,
    speeches,
)

_FORMAT = "video/mp4"


def sign(
    made: BinaryIO,
    target: BinaryIO,
    certificate: Certificate,
    facts: Facts,
    files: Mapping[str, BinaryIO] = {},
    timestamp_url: str | None = None,
) -> None:
    """Copy a result to `target` with a manifest that `certificate` signs. Memory does not grow with it.

    Args:
        made: the result, an MP4 that is open for reading and seeking.
        target: an empty file that is open for writing and reading.
        files: the source and the speeches, by their labels in the manifest, whose own manifests are carried
            on: only of somebody who is trusted.
        timestamp_url: of an authority (RFC 3161) that is asked when it was signed, over the network.

    Raises:
        ProvenanceError: the certificate may not sign. StorageError: the disk is full. OSError: it fails.
    """
    certificate.check()
    with _builder(definition(facts)) as builder:
        for label in (SOURCE, *speeches(facts)):
            _add(builder, label, files.get(label))
        _write(builder, certificate, made, target, timestamp_url)


def countersign(
    made: BinaryIO, target: BinaryIO, certificate: Certificate, timestamp_url: str | None = None
) -> None:
    """Sign a result that has a manifest: that one becomes the parent of the new one. As `sign`."""
    certificate.check()
    with _builder(passed_on(certificate.self_made)) as builder:
        made.seek(0)
        with _refused(), library.Whole(made) as whole:
            builder.add_ingredient(ingredient(RESULT), _FORMAT, whole)
        _write(builder, certificate, made, target, timestamp_url)


@contextmanager
def _builder(manifest: dict[str, Any]) -> Iterator[Any]:
    with library.context() as context, library.load().Builder(manifest, context) as builder:
        yield builder


def _add(builder: Any, label: str, file: BinaryIO | None) -> None:
    """Add an ingredient, with the manifest that its file brings if it can be read."""
    if file is not None:
        file.seek(0)
        kind = media_type(file.read(HEAD))
        file.seek(0)
        with suppress(library.load().C2paError), library.Whole(file) as whole:
            if kind:
                builder.add_ingredient(ingredient(label), kind, whole)
                return
    builder.add_ingredient(ingredient(label), "application/octet-stream", io.BytesIO())


def _write(
    builder: Any, certificate: Certificate, made: BinaryIO, target: BinaryIO, timestamp_url: str | None
) -> None:
    c2pa = library.load()
    algorithm = getattr(c2pa.C2paSigningAlg, certificate.algorithm.upper())
    info = c2pa.C2paSignerInfo(algorithm, certificate.chain, certificate.key, timestamp_url)
    made.seek(0)
    source, sink = library.Whole(made), library.Whole(target)
    try:
        with _refused(), source, sink, c2pa.Signer.from_info(info) as signer:
            builder.sign(signer, _FORMAT, source, sink)
    except (ProvenanceError, OSError) as error:
        failure = sink.failure or source.failure
        if failure is None:
            raise
        if failure.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageError(
                "The result cannot be signed: the disk is full.",
                "Signing needs room for a second copy of the result: free space where it is written.",
            ) from error
        raise failure from error


@contextmanager
def _refused() -> Iterator[None]:
    """Turn what the library refuses inside the block into ProvenanceError."""
    try:
        yield
    except library.load().C2paError as error:
        raise ProvenanceError(
            f"The result cannot be signed: {error}.",
            "Check the certificate (openssl x509 -text), and whether the time-stamp authority answers, where "
            "one is asked; docs/provenance.md says what C2PA asks of a certificate.",
        ) from error
