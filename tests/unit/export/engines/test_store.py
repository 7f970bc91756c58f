"""Plans appear in a store whole or not at all, whoever else builds there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lipserve.engine_store import EngineKey, EngineRecord, fault
from lipserve_export.engines.store import place, sweep
from lipserve_export.fetch.files import sha256

GRAPH = sha256(b"graph")
KEY = EngineKey.of("sm80", "tensorrt", "10.13.3.9", [GRAPH])


def record(plan: bytes) -> EngineRecord:
    return EngineRecord(
        purpose="serving",
        onnx_sha256=GRAPH,
        plan_sha256=sha256(plan),
        precision="fp16",
        shapes={},
        flavour="tensorrt",
        version="10.13.3.9",
        compute_capability="sm80",
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return KEY.plan(tmp_path, "vae_encoder")


def names(path: Path) -> list[str]:
    return sorted(str(found.relative_to(path.parents[1])) for found in path.parents[1].rglob("*"))


WHOLE = ["vae_encoder", "vae_encoder/model.json", "vae_encoder/model.plan"]


def test_plan_and_account_come_together(path: Path) -> None:
    assert place(path, b"plan", record(b"plan"), KEY)
    assert fault(path, KEY, GRAPH) is None
    assert names(path) == WHOLE
    assert path.parent.stat().st_mode & 0o777 == 0o777 & ~umask()  # another user's server reads it


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_the_first_of_two_builders_wins_and_its_plan_stays(path: Path) -> None:
    assert place(path, b"first", record(b"first"), KEY)
    before = path.stat()
    assert not place(path, b"second", record(b"second"), KEY)
    assert path.read_bytes() == b"first"
    assert path.stat().st_ino == before.st_ino
    assert names(path) == WHOLE


@pytest.mark.parametrize("damage", ["plan", "record", "no record"])
def test_damaged_engines_are_replaced(path: Path, damage: str) -> None:
    assert place(path, b"first", record(b"first"), KEY)
    beside = path.with_name("model.json")
    {
        "plan": lambda: path.write_bytes(b"firs"),
        "record": lambda: beside.write_text("{}"),
        "no record": beside.unlink,
    }[damage]()
    assert fault(path, KEY, GRAPH) is not None
    assert place(path, b"second", record(b"second"), KEY)
    assert path.read_bytes() == b"second"
    assert names(path) == WHOLE


def test_of_many_builders_at_once_one_wins_and_nobody_sees_half(path: Path) -> None:
    """Plans of 8 MB, each of a builder of its own; a reader holds what it finds to its record meanwhile."""
    plans = [bytes([number]) * (8 << 20) for number in range(6)]
    seen: list[str | None] = []
    with ThreadPoolExecutor(8) as pool:
        builders = [pool.submit(place, path, plan, record(plan), KEY) for plan in plans]
        while not all(builder.done() for builder in builders):
            if path.parent.is_dir():
                seen.append(fault(path, KEY, GRAPH))
    won = [builder.result() for builder in builders]
    assert sum(won) == 1
    assert path.read_bytes() == plans[won.index(True)]
    assert set(seen) <= {None}
    assert names(path) == WHOLE


def test_a_killed_builder_leaves_no_plan_and_its_remains_are_swept_later(path: Path) -> None:
    """It dies between the plan and its record."""
    killed = (
        "import os, sys; from pathlib import Path; from lipserve_export.engines import store\n"
        "write = store._write\n"
        "def last(path, data):\n    write(path, data); os._exit(9)\n"
        "store._write = last\n"
        "from lipserve.engine_store import EngineKey, EngineRecord\n"
        "record = EngineRecord.model_validate_json(sys.argv[2])\n"
        "store.place(Path(sys.argv[1]), b'plan', record, EngineKey.parse(sys.argv[3]))"
    )
    line = [sys.executable, "-c", killed, str(path), record(b"plan").model_dump_json(), str(KEY)]
    assert subprocess.run(line, timeout=60, check=False).returncode == 9
    assert not path.exists()
    (left,) = path.parents[1].iterdir()
    sweep(path.parents[1])
    assert left.is_dir()  # it may belong to a builder at work
    past = time.time() - 3601
    os.utime(left, (past, past))
    sweep(path.parents[1])
    assert not left.exists()
    assert place(path, b"plan", record(b"plan"), KEY)


def test_a_store_that_cannot_be_written_is_an_error(path: Path) -> None:
    path.parents[2].write_text("a file where the folder of engines should be")
    with pytest.raises(NotADirectoryError):
        place(path, b"plan", record(b"plan"), KEY)
