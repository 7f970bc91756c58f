"""Addresses, keys and pauses of calls of a gateway."""

from __future__ import annotations

import pytest

from lipserve.errors import ConnectError, InputError, OptionsError, SetupError, UnavailableError
from lipserve_client import TLS
from lipserve_client._fleet import FIRST_CONTACT_DELAY, LONGEST_DELAY
from lipserve_client._jobs.http import DEFAULT_GATEWAY, Gateway, Pauses


def _gateway(url: str | None = None, key: str | None = None, tls: TLS | None = None) -> Gateway:
    return Gateway(url, key, tls, 3)


@pytest.mark.parametrize("url", ["http://a", "https://a:443/below/", "http://[::1]:8080"])
def test_an_address_may_have_a_path(url: str) -> None:
    assert _gateway(url).url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8080", "grpc://a", "http://", "http://a?b=c", "http://a#b", "http://a:0", "http://a:x",
     "http://a\r\nb", "http://ä"],
)  # fmt: skip
def test_what_is_no_address_of_a_gateway_is_refused(url: str) -> None:
    with pytest.raises(OptionsError, match="address of a gateway"):
        _gateway(url)


def test_address_and_key_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIPSERVE_JOBS_URL", raising=False)
    assert _gateway().url == DEFAULT_GATEWAY
    monkeypatch.setenv("LIPSERVE_JOBS_URL", "http://elsewhere:9000")
    assert _gateway().url == "http://elsewhere:9000"
    assert _gateway("http://given").url == "http://given"


@pytest.mark.parametrize("key", ["two words", "a\nb", "ключ"])
def test_a_key_that_would_end_its_header_is_refused(key: str) -> None:
    with pytest.raises(OptionsError, match="key") as raised:
        _gateway(key=key)
    assert key not in str(raised.value)


def test_a_file_of_tls_that_cannot_be_read_is_named() -> None:
    with pytest.raises(SetupError, match="TLS"):
        _gateway("https://a", tls=TLS(ca="/nowhere.pem"))
    _gateway("http://a", tls=TLS(ca="/nowhere.pem"))  # nothing is encrypted: nothing is read


def test_pauses_grow_up_to_a_bound_and_end() -> None:
    pauses = Pauses(8)
    made = [pauses.after(UnavailableError("full"), known=True) for _ in range(9)]
    assert made[-1] is None
    given = [pause for pause in made if pause is not None]
    assert len(given) == 8
    assert 0.25 <= given[0] <= 0.5
    assert LONGEST_DELAY / 2 <= given[-1] <= LONGEST_DELAY


def test_a_gateway_that_never_answered_is_tried_once_more() -> None:
    pauses = Pauses(8)
    error = ConnectError("refused")
    assert [pauses.after(error, known=False) for _ in range(2)] == [FIRST_CONTACT_DELAY, None]


def test_what_another_try_cannot_mend_is_not_tried_again() -> None:
    assert Pauses(8).after(InputError("wrong"), known=True) is None
