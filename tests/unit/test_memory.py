"""What files of strangers may take of a process that is ours."""

from __future__ import annotations

import io
import subprocess
import sys
import zlib
from pathlib import Path

import av
import numpy as np
import pytest

from lipserve import memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA bounds memory on Linux alone")

MIB = 1 << 20


def _synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def _mp3() -> bytes:
    """Return a second of silence."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as output:
        stream = output.add_stream("libmp3lame", rate=44_100, layout="mono")
        for number in range(38):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 44_100, 1152 * number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def tag_bomb(megabytes: int, pictures: int) -> bytes:
    """Return an MP3 with pictures in its tag that are compressed: each is four kilobytes a megabyte."""
    packer = zlib.compressobj(1)
    body = packer.compress(b"\0image/png\0\3\0") + b"".join(
        packer.compress(bytes(MIB)) for _ in range(megabytes)
    )
    body = (megabytes * MIB).to_bytes(4, "big") + body + packer.flush()
    frames = pictures * (b"APIC" + _synchsafe(len(body)) + b"\0\x09" + body)
    return b"ID3\4\0\0" + _synchsafe(len(frames)) + frames + _mp3()


_CHILD = """
import resource, sys
from lipserve import memory
from lipserve.errors import AudioError, LimitError
from lipserve.files.source import open_source
if sys.argv[2] == "ours":
    memory.own()
before = resource.getrlimit(resource.RLIMIT_DATA)
try:
    with open_source(sys.argv[1], AudioError):
        pass
except LimitError as error:
    assert "needs more than 512 MiB of memory to be opened" in str(error)
assert resource.getrlimit(resource.RLIMIT_DATA) == before
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # of this program alone
print(int(peak.split()[1]) // 1024)
"""


@pytest.mark.slow
def test_memory_for_opening_a_file_is_bounded_in_our_own_process(tmp_path: Path) -> None:
    path = tmp_path / "bomb.mp3"
    path.write_bytes(tag_bomb(900, 1))
    assert path.stat().st_size < 5 * MIB

    def opened(by: str) -> int:
        """Return megabytes."""
        command = [sys.executable, "-c", _CHILD, str(path), by]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert opened("another's") > 800
    assert opened("ours") < 700  # FFmpeg leaves out what it has no memory for, or gives up


_BUDGET = """
import numpy as np
from lipserve import memory
memory.own(256 << 20)
np.ones(100 << 20, np.uint8)
try:
    np.ones(400 << 20, np.uint8)
except MemoryError:
    print("refused")
with memory.opening(), memory.opening():
    pass
np.ones(100 << 20, np.uint8)
"""


def test_a_budget_lasts_through_openings() -> None:
    done = subprocess.run([sys.executable, "-c", _BUDGET], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


def test_memory_is_not_bounded_in_a_users_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_own", None)
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory.opening():
        assert resource.getrlimit(resource.RLIMIT_DATA) == before


_RETURNED = """
from pathlib import Path
from lipserve import memory
memory.return_blocks()
held = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * 4 // 1024
before = held()
blocks = [bytes([1]) * (256 << 10) for _ in range(400)]
full = held()
del blocks[:-1]
print(full - before, held() - before)
"""


def test_blocks_that_are_free_go_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", _RETURNED], capture_output=True, text=True, check=True)
    full, after = map(int, done.stdout.split())
    assert full >= 100
    assert after <= 5
