"""A streamed result of a real server: the pictures of the whole one, and playable in a real browser."""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from demo import portrait
from lipserve import Client, audio
from lipserve.media import decode, probe
from lipserve_client._samples import SPEECH
from tests.support.programs import LIPSERVE
from tests.support.servers import RunningServer

pytestmark = pytest.mark.serve

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

PAGE = b"""<!doctype html><video id=v muted></video><script>
const video = document.getElementById("v"), source = new MediaSource();
const say = (what) => fetch("/told", {method: "POST", body: JSON.stringify(what)});
video.onerror = () => say({error: video.error.message});
video.src = URL.createObjectURL(source);
source.addEventListener("sourceopen", async () => {
  const buffer = source.addSourceBuffer('video/mp4; codecs="avc1.640028, mp4a.40.2"');
  const reader = (await fetch("/stream")).body.getReader();
  let first = null;
  for (;;) {
    const {done, value} = await reader.read();
    if (done) break;
    buffer.appendBuffer(value);
    await new Promise((next) => buffer.addEventListener("updateend", next, {once: true}));
    if (first === null && buffer.buffered.length) { first = buffer.buffered.end(0); video.play(); }
  }
  source.endOfStream();
  video.onended = () => say({first, start: buffer.buffered.start(0), end: video.duration,
    width: video.videoWidth, ranges: buffer.buffered.length,
    frames: video.getVideoPlaybackQuality().totalVideoFrames});
  video.playbackRate = 2;
  video.play();
});
</script>"""


@pytest.fixture(scope="module")
def video() -> bytes:
    return portrait.clip(2.0, (160, 160))


@pytest.fixture(scope="module")
def said() -> bytes:
    return audio.wav(audio.load(SPEECH)[: 4 * 16_000])


def test_the_pictures_are_those_of_the_whole_result(client: Client, video: bytes, said: bytes) -> None:
    stream = client.dub_stream(video, said, crf=4)
    streamed = b"".join(stream)
    whole = client.dub(video, said, crf=4)
    assert stream.report is not None
    assert stream.report.frames == whole.report.frames == 100
    pairs = zip(
        decode.read(streamed, probe.probe(streamed)),
        decode.read(whole.content, probe.probe(whole.content)),
        strict=True,
    )
    errors = [float(np.square(a.y.astype(float) - b.y).mean()) for a, b in pairs]
    assert 10 * np.log10(255**2 / max(errors)) > 40


@contextmanager
def site(stream: Iterator[bytes]) -> Iterator[tuple[str, threading.Event, list[dict[str, float]]]]:
    """Serve the page and the stream; give the address, and what the page tells in the end."""
    told, done = list[dict[str, float]](), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path not in ("/", "/stream"):  # a browser asks for an icon, too
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if self.path == "/" else "video/mp4")
            self.end_headers()
            for chunk in [PAGE] if self.path == "/" else stream:
                self.wfile.write(chunk)
                self.wfile.flush()

        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()
            done.set()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", done, told
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium: apt install chromium")
def test_a_browser_plays_it_while_it_is_made(
    client: Client, video: bytes, said: bytes, tmp_path: Path
) -> None:
    assert BROWSER is not None
    with site(iter(client.dub_stream(video, said))) as (address, done, told):
        browser = subprocess.Popen(
            [
                BROWSER,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--autoplay-policy=no-user-gesture-required",
                f"--user-data-dir={tmp_path}",
                address,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert done.wait(120)
        finally:
            browser.kill()
            browser.wait()
    (seen,) = told
    assert seen == {**seen, "start": 0, "width": 160, "ranges": 1}
    assert seen["end"] == pytest.approx(4, abs=0.05)
    assert seen["first"] < 2  # playing began with the first fragments
    assert seen["frames"] > 50


def test_a_reader_that_leaves_before_the_end_is_told_of(
    server: RunningServer, video: bytes, said: bytes, tmp_path: Path
) -> None:
    """As `head` does: the exit code and one line say that the result is not complete."""
    (tmp_path / "video.mp4").write_bytes(video)
    (tmp_path / "said.wav").write_bytes(audio.wav(np.tile(audio.load(said), 3)))  # more than a pipe holds
    command = [LIPSERVE, "dub", "video.mp4", "said.wav", "-o", "-", "-q", "--url", server.url]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=False
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert len(running.stdout.read(100)) == 100
        running.stdout.close()
        told = running.stderr.read().decode()
        assert running.wait(60) == 5
    assert told.startswith("error: The reader of standard output has left before the result was complete.")
    assert told.count("\n") == 1
