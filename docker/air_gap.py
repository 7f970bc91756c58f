#!/usr/bin/env python3
"""Carry what a release needs over an air gap: its images, its models, and a bill of both (CycloneDX).

    python3 docker/air_gap.py images --from registry.example.com/team -- -f values.yaml
    python3 docker/air_gap.py save CARRY --from registry.example.com/team --models DIR -- -f values.yaml
    python3 docker/air_gap.py load CARRY registry.internal.example.com/lipserve

Words after -- are those of `helm template`: the values of the release. `save` needs helm, skopeo and a
network; `load` needs skopeo and the registry inside, which the release then names as global.imageRegistry.
Python's standard library is enough.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
INDEX, SUMS, BILL, MODELS = "images.json", "SHA256SUMS", "sbom.cdx.json", "models.tar"
_IMAGE = re.compile(r'^\s*(?:- )?(?:image|reference): "?([^"\s]+)"?\s*$', re.MULTILINE)
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)((?:\s*\\\n\s*--hash=sha256:[0-9a-f]{64})+)", re.MULTILINE)
_INSIDE = "inside.invalid"  # stands for the registry behind the gap


class CarryError(Exception):
    """Something cannot be carried; the text says what to do."""


def images(helm: str, origin: str, words: list[str]) -> dict[str, str]:
    """Return every image of a release, and what it is called below global.imageRegistry.

    Args:
        origin: the registry that LipServe's own images are in outside, and folders of it.
    """
    outside, inside = (
        _rendered(helm, [*words, *more]) for more in ([], ["--set", f"global.imageRegistry={_INSIDE}"])
    )
    found = dict(zip(outside, inside, strict=True))
    kept = sorted(name for name, target in found.items() if not target.startswith(f"{_INSIDE}/"))
    if kept:
        raise CarryError(
            f"{', '.join(kept)}: an image with a registry of its own is not taken from global.imageRegistry. "
            "Leave the registry of this image empty."
        )
    nowhere = sorted(name for name in found if not _is_addressed(name))
    if nowhere and not origin:
        raise CarryError(f"{', '.join(nowhere)}: nothing says where it is outside. Give --from REGISTRY.")
    full = {name if _is_addressed(name) else f"{origin}/{name}": target for name, target in found.items()}
    return {name: full[name].removeprefix(f"{_INSIDE}/") for name in sorted(full)}


def _is_addressed(name: str) -> bool:
    first, slash, _ = name.partition("/")
    return bool(slash) and (first == "localhost" or "." in first or ":" in first)


def _rendered(helm: str, words: list[str]) -> list[str]:
    command = [helm, "template", "lipserve", str(ROOT / "helm/lipserve"), *words]
    return _IMAGE.findall(_run(command))


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    except OSError as error:
        raise CarryError(
            f"{command[0]} cannot be run: {error.strerror}. Install it, or name it by its option."
        ) from error
    if done.returncode:
        raise CarryError(f"{' '.join(command)} ended with {done.returncode}; its lines above say why.")
    return done.stdout


def bill(names: list[str], models: Path | None) -> dict[str, Any]:
    """Return the bill of materials: images, the pinned packages of ours, models by their manifests."""
    parts: list[dict[str, Any]] = []
    for name in names:
        image, _, version = re.sub(r"@(?=sha256:)", ":", name, count=1).partition(":")
        parts.append({"type": "container", "name": image, "version": version})
    parts += _wheels(names)
    for path in sorted(models.glob("*/1/manifest.json")) if models else []:
        told = json.loads(path.read_text())
        for file in told["files"]:
            parts.append(
                {
                    "type": "machine-learning-model",
                    "name": f"{path.parents[1].name}/{file['name']}",
                    "description": str(told.get("weights", "")),
                    "hashes": [{"alg": "SHA-256", "content": file["sha256"]}],
                }
            )
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(parts, sort_keys=True))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "lipserve"}},
        "components": parts,
    }


def _wheels(names: list[str]) -> list[dict[str, Any]]:
    """Return the wheels that pip may take for our images, each once: a component has digests of one file."""
    found = {}
    for image in ("server", "jobs"):
        if image != "server" and not any(f"/lipserve-{image}" in name for name in names):
            continue
        text = (ROOT / f"docker/requirements/{image}.txt").read_text()
        for name, version, hashes in _PINNED.findall(text):
            for digest in re.findall("[0-9a-f]{64}", hashes):
                found[f"{name}@{digest[:12]}"] = {
                    "type": "library",
                    "name": name,
                    "version": version,
                    "purl": f"pkg:pypi/{name.lower()}@{version}",
                    "bom-ref": f"{name}@{digest[:12]}",
                    "hashes": [{"alg": "SHA-256", "content": digest}],
                }
    return list(found.values())


def save(folder: Path, models: Path | None, found: dict[str, str], skopeo: str) -> None:
    """Write images, models, the bill and the digests of all of them into a folder."""
    if models and not any(models.glob("*/1/manifest.json")):
        raise CarryError(f"{models} holds no model: there is no */1/manifest.json. Export the models first.")
    (folder / "images").mkdir(parents=True, exist_ok=True)
    index = {}
    for name, target in found.items():
        file = f"images/{re.sub(r'[^A-Za-z0-9._-]+', '_', target)}.tar"
        print(f"{name} -> {file}", flush=True)
        (folder / file).unlink(missing_ok=True)  # skopeo adds to an archive that is there
        _run(
            [
                skopeo,
                "copy",
                "--all",
                "--preserve-digests",
                f"docker://{name}",
                f"oci-archive:{folder / file}",
            ]
        )
        index[target] = file
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")
    if models:
        with tarfile.open(folder / MODELS, "w") as archive:
            archive.add(models, ".")
    (folder / BILL).write_text(json.dumps(bill(list(found), models), indent=2) + "\n")
    carried = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = [f"{_sha256(path)}  {path.relative_to(folder)}\n" for path in carried]
    (folder / SUMS).write_text("".join(lines))


def load(folder: Path, inside: str, skopeo: str) -> None:
    """Hold the folder to its digests, and push every image to the registry inside."""
    for line in (folder / SUMS).read_text().splitlines():
        digest, _, name = line.partition("  ")
        if not (folder / name).is_file() or _sha256(folder / name) != digest:
            raise CarryError(
                f"{folder / name} is missing, or was changed on its way. Carry the folder again."
            )
    for target, file in json.loads((folder / INDEX).read_text()).items():
        print(f"{file} -> {inside}/{target}", flush=True)
        _run(
            [
                skopeo,
                "copy",
                "--all",
                "--preserve-digests",
                f"oci-archive:{folder / file}",
                f"docker://{inside}/{target}",
            ]
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, told in {
        "images": "print the images of a release",
        "bill": "print the bill of materials",
        "save": "write all that a release needs into a folder",
        "load": "push the images of a folder to a registry",
    }.items():
        command = commands.add_parser(name, help=told)
        command.add_argument("--skopeo", default="skopeo", metavar="FILE", help="the program")
        if name in ("save", "load"):
            command.add_argument("folder", type=Path, metavar="FOLDER", help="that is carried")
        if name == "load":
            command.add_argument("inside", metavar="REGISTRY", help="registry.internal.example.com/lipserve")
            continue
        command.add_argument(
            "--from", dest="origin", default="", metavar="REGISTRY", help="of LipServe's own images"
        )
        command.add_argument("--helm", default="helm", metavar="FILE", help="the program")
        if name != "images":
            command.add_argument(
                "--models", type=Path, metavar="DIR", help="exported models, engines among them"
            )
    given = list(sys.argv[1:] if arguments is None else arguments)
    at = given.index("--") if "--" in given else len(given)
    options, words = parser.parse_args(given[:at]), given[at + 1 :]
    try:
        if options.command == "load":
            load(options.folder, options.inside, options.skopeo)
            return 0
        found = images(options.helm, options.origin, words)
        if options.command == "images":
            print("\n".join(found))
        elif options.command == "bill":
            print(json.dumps(bill(list(found), options.models), indent=2))
        else:
            save(options.folder, options.models, found, options.skopeo)
    except CarryError as error:
        print(f"error: {error}", file=sys.stderr)
        return 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
