"""Files from addresses that callers name, over real HTTP and TLS."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme

from lipserve.errors import ConnectError, FetchError, LimitError, LipServeError, UnavailableError
from lipserve_jobs.outside import web
from lipserve_jobs.outside.fetch import fetch, put
from tests.support.ports import free_port
from tests.support.sites import Answer, Asked, Site

FILM = bytes(range(256)) * 12_000


def _fetched(address: str, limit: int = 1 << 30, allowed: Sequence[str] | None = None, **more: Any) -> bytes:
    async def run() -> bytes:
        return b"".join(
            [chunk async for chunk in fetch(address, limit, allowed, **{"private": True, **more})]
        )

    return asyncio.run(run())


def _film(came: Asked, answer: Answer) -> None:
    answer.whole(200, FILM)


def _at(address: str, calls: list[str], *others: str) -> Any:
    """Return a name service that gives `address` first, and then each of `others`."""

    def resolved(host: str, port: int, *_: object, **__: object) -> list[object]:
        found = ([address, *others])[min(len(calls), len(others))]
        calls.append(host)
        return [(2, 1, 6, "", (found, port))]

    return resolved


def test_a_file_comes_whole_and_asks_for_no_compression() -> None:
    with Site(_film) as site:
        assert _fetched(site.url("/a?sig=1")) == FILM
    assert site.asked[0].path == "/a?sig=1"
    assert site.asked[0].headers["accept-encoding"] == "identity"


def test_a_private_address_is_refused_before_anything_is_sent() -> None:
    with Site(_film) as site, pytest.raises(FetchError, match="not of the public internet"):
        _fetched(site.url(), private=False)
    assert site.asked == []


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr("lipserve_jobs.outside.addresses.is_public", lambda address: address == "127.0.0.2")
    with Site(_film, "127.0.0.2") as site:
        monkeypatch.setattr("socket.getaddrinfo", _at("127.0.0.2", calls, "127.0.0.1"))
        assert _fetched(f"http://rebind.test:{site.port}/", private=False) == FILM
        assert calls == ["rebind.test"]
        with pytest.raises(FetchError, match="not of the public internet"):  # the second answer is private
            _fetched(f"http://rebind.test:{site.port}/", private=False)
    assert [came.headers["host"] for came in site.asked] == [f"rebind.test:{site.port}"]


def test_a_redirect_is_checked_like_the_first_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipserve_jobs.outside.addresses.is_public", lambda address: address == "127.0.0.2")
    with Site(_film) as hidden:

        def away(came: Asked, answer: Answer) -> None:
            answer.whole(302, Location=hidden.url("/latest/meta-data"))

        with Site(away, "127.0.0.2") as site, pytest.raises(FetchError, match="not of the public internet"):
            _fetched(site.url(), private=False)
    assert hidden.asked == []


@pytest.mark.parametrize("target", ["file:///etc/passwd", "gopher://x/", "ftp://x/", "//"])
def test_a_redirect_to_another_scheme_is_refused(target: str) -> None:
    with (
        Site(lambda came, answer: answer.whole(302, Location=target)) as site,
        pytest.raises(FetchError, match=r"neither https:// nor http://|not valid|redirects"),
    ):
        _fetched(site.url())


def test_five_redirects_are_followed_and_six_are_not() -> None:
    def on(came: Asked, answer: Answer) -> None:
        left = int(came.path[1:])
        if left:
            answer.whole(307, Location=f"/{left - 1}")
        else:
            answer.whole(200, FILM)

    with Site(on) as site:
        assert _fetched(site.url("/5")) == FILM
        with pytest.raises(FetchError, match="redirects too often"):
            _fetched(site.url("/6"))


def test_a_length_above_the_limit_is_refused_before_the_body() -> None:
    def large(came: Asked, answer: Answer) -> None:
        answer.head(200, Content_Length=str(10 << 30))
        answer.closing.wait()

    with Site(large) as site, pytest.raises(LimitError, match="larger than 1000 bytes"):
        _fetched(site.url(), 1000)


def test_a_body_without_length_is_cut_at_the_limit() -> None:
    def endless(came: Asked, answer: Answer) -> None:
        answer.head(200)
        while not answer.closing.is_set():
            answer.write(FILM)

    with Site(endless) as site, pytest.raises(LimitError, match="larger than 5000000 bytes"):
        _fetched(site.url(), 5_000_000)


def test_a_body_that_ends_too_early_may_be_tried_again() -> None:
    def short(came: Asked, answer: Answer) -> None:
        answer.head(200, Content_Length=str(len(FILM)))
        answer.write(FILM[:1000])

    with Site(short) as site, pytest.raises(ConnectError) as caught:
        _fetched(site.url())
    assert caught.value.retryable


def test_a_compressed_body_is_refused_unread() -> None:
    bomb = gzip.compress(bytes(10_000_000))
    with (
        Site(lambda came, answer: answer.whole(200, bomb, Content_Encoding="gzip")) as site,
        pytest.raises(FetchError, match="compressed"),
    ):
        _fetched(site.url())


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, FetchError), (403, FetchError), (503, UnavailableError), (429, UnavailableError)],
)
def test_an_answer_without_a_file_is_typed(status: int, kind: type[LipServeError]) -> None:
    with (
        Site(lambda came, answer: answer.whole(status)) as site,
        pytest.raises(kind, match=f"answers {status}") as caught,
    ):
        _fetched(site.url())
    assert caught.value.retryable is (kind is UnavailableError)


def test_no_error_tells_what_an_address_hides() -> None:
    with Site(lambda came, answer: answer.whole(403)) as site, pytest.raises(FetchError) as caught:
        _fetched(site.url("/secret-path?X-Amz-Signature=secret").replace("://", "://secret:secret@"))
    assert "secret" not in str(caught.value)
    assert f"http://127.0.0.1:{site.port} answers 403" in str(caught.value)


def test_a_site_that_falls_silent_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(came: Asked, answer: Answer) -> None:
        answer.head(200, Content_Length="10")
        answer.closing.wait()

    monkeypatch.setattr(web, "IDLE_SECONDS", 0.2)
    with Site(silent) as site, pytest.raises(ConnectError, match="does not answer in time"):
        _fetched(site.url())


def test_a_site_that_trickles_is_left_when_the_whole_time_is_over() -> None:
    def trickle(came: Asked, answer: Answer) -> None:
        answer.head(200, Content_Length="100000")
        while not answer.closing.wait(0.02):
            answer.write(b"a")

    with Site(trickle) as site, pytest.raises(FetchError, match="takes too long"):
        _fetched(site.url(), seconds=0.5)


def test_nobody_there_may_be_tried_again() -> None:
    with pytest.raises(ConnectError, match="failed") as caught:
        _fetched(f"http://127.0.0.1:{free_port('127.0.0.1')}/")
    assert caught.value.retryable


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Site(_film) as proxy, Site(_film) as site:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        assert _fetched(site.url()) == FILM
    assert proxy.asked == []


def test_a_host_that_is_not_listed_is_refused_also_behind_a_redirect() -> None:
    with (
        Site(_film, "127.0.0.2") as other,
        Site(lambda came, answer: answer.whole(301, Location=other.url())) as site,
    ):
        with pytest.raises(FetchError, match=r"127\.0\.0\.2 is not on the list"):
            _fetched(site.url(), allowed=("127.0.0.1",))
        assert _fetched(site.url(), allowed=("127.0.0.1", "127.0.0.2")) == FILM
    assert len(other.asked) == 1


def _secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> ssl.SSLContext:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_tls_proves_the_name_though_the_connection_goes_to_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Site(_film, tls=_secure(tmp_path, monkeypatch, "films.test")) as site:
        monkeypatch.setattr("socket.getaddrinfo", _at("127.0.0.1", []))
        assert _fetched(f"https://films.test:{site.port}/") == FILM
        with pytest.raises(FetchError, match=r"certificate of https://other\.test"):
            _fetched(f"https://other.test:{site.port}/")


def test_a_stranger_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = _secure(tmp_path, monkeypatch, "127.0.0.1")
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    web._trusted.cache_clear()
    with Site(_film, tls=context) as site, pytest.raises(FetchError, match="certificate"):
        _fetched(site.url())


def test_no_redirect_leads_from_tls_to_plain_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = _secure(tmp_path, monkeypatch, "127.0.0.1")
    web._trusted.cache_clear()
    with (
        Site(_film) as plain,
        Site(lambda came, answer: answer.whole(302, Location=plain.url()), tls=context) as site,
        pytest.raises(FetchError, match="leads from https://"),
    ):
        _fetched(site.url())


def test_a_result_is_put_with_its_length_also_behind_a_redirect(tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(FILM)

    def take(came: Asked, answer: Answer) -> None:
        answer.whole(307, Location="/other") if came.path == "/first" else answer.whole(200)

    with Site(take) as site:
        asyncio.run(put(site.url("/first"), tmp_path / "film", private=True, media_type="video/mp4"))
        with pytest.raises(FetchError, match="not of the public internet"):
            asyncio.run(put(site.url("/first"), tmp_path / "film"))
    assert [(came.method, came.path, came.body == FILM) for came in site.asked] == [
        ("PUT", "/first", True),
        ("PUT", "/other", True),
    ]
    assert site.asked[1].headers["content-type"] == "video/mp4"
    assert site.asked[1].headers["content-length"] == str(len(FILM))


@pytest.mark.parametrize(("status", "kind"), [(403, FetchError), (302, FetchError), (500, UnavailableError)])
def test_a_result_that_is_not_taken_is_typed(tmp_path: Path, status: int, kind: type[LipServeError]) -> None:
    (tmp_path / "film").write_bytes(FILM)
    with (
        Site(lambda came, answer: answer.whole(status, Location="/other")) as site,
        pytest.raises(kind, match=f"answers {status}"),
    ):
        asyncio.run(put(site.url(), tmp_path / "film", private=True))
