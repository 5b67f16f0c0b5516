"""Where keys and other credentials come from, and that they are fit to be sent."""

from __future__ import annotations

from typing import Any

import pytest

from regioncap.captioners.access import Access
from regioncap.config.model import RegionCapConfig
from regioncap.errors import CaptionerError
from regioncap.run import credentials
from regioncap.run.credentials import access_of, check_environment

KEYS = ("REGIONCAP_API_KEY", "OPENAI_API_KEY")


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


def access(endpoints: int = 1, **settings: Any) -> list[Access]:
    urls = [f"http://host{number}/v1" for number in range(endpoints)]
    return access_of(RegionCapConfig(input="a.jsonl", model="m", endpoint=urls, **settings))


def bearers(found: list[Access]) -> list[str | None]:
    return [each.headers.get("Authorization") for each in found]


def test_keys_of_the_environment_are_for_all_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bearers(access(2)) == [None, None]
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    assert bearers(access(2)) == ["Bearer theirs"] * 2
    monkeypatch.setenv("REGIONCAP_API_KEY", "ours\n")  # as files and `echo` end
    (found,) = access()
    assert (found.headers, found.secrets) == ({"Authorization": "Bearer ours"}, ("ours",))
    monkeypatch.setenv("REGIONCAP_API_KEY", " \n")
    assert bearers(access()) == ["Bearer theirs"]


def test_endpoints_may_have_keys_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_A", "a")
    monkeypatch.setenv("KEY_B", "b")
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    assert bearers(access(2, api_keys=["env:KEY_A", "env:KEY_B"])) == ["Bearer a", "Bearer b"]
    assert bearers(access(2, api_keys="env:KEY_B")) == ["Bearer b", "Bearer b"]


def test_headers_and_query_get_the_secrets_that_they_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_KEY", "quiet river\r\n")
    monkeypatch.setenv("SIGNATURE", "s/g")
    headers = {"api-key": "env:AZURE_KEY", "x-gateway": "Token env:SIGNATURE", "x-title": "mine"}
    (found,) = access(request_headers=headers, request_query={"sig": "env:SIGNATURE", "v": 2})
    assert found.headers == {"api-key": "quiet river", "x-gateway": "Token s/g", "x-title": "mine"}
    assert found.query == {"sig": "s/g", "v": "2"}
    assert set(found.secrets) == {"quiet river", "s/g"}


def test_a_server_with_credentials_of_its_own_is_not_sent_the_key_for_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*KEYS, "AZURE_KEY"):
        monkeypatch.setenv(name, name.lower())
    headers = ["api-key: env:AZURE_KEY"]
    assert bearers(access(request_headers=headers)) == ["Bearer regioncap_api_key"]
    monkeypatch.delenv("REGIONCAP_API_KEY")
    assert bearers(access(request_headers=headers)) == [None]
    assert bearers(access(request_headers=headers, api_keys="env:OPENAI_API_KEY")) == ["Bearer openai_api_key"]
    assert bearers(access(request_headers=["x-title: mine"])) == ["Bearer openai_api_key"]


def test_a_header_for_authorization_is_sent_instead_of_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGIONCAP_API_KEY", "ours")
    monkeypatch.setenv("LOGIN", "bWU6c2VjcmV0")
    (found,) = access(request_headers=["authorization: Basic env:LOGIN"])
    assert found.headers == {"authorization": "Basic bWU6c2VjcmV0"}


UNFIT = ["inner\nline", "inner\r\nline", "tab\there", "nul\x01", "5€key", "密钥"]
SETTINGS: dict[str, dict[str, Any]] = {
    "api_keys": {"api_keys": "env:A_KEY"},
    "request_headers: api-key": {"request_headers": ["api-key: env:A_KEY"]},
    "request_query: key": {"request_query": ["key=env:A_KEY"]},
}


@pytest.mark.parametrize("secret", UNFIT)
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_secret_that_fits_into_no_header_names_where_it_is_from(
    monkeypatch: pytest.MonkeyPatch, setting: str, secret: str
) -> None:
    monkeypatch.setenv("A_KEY", secret)
    with pytest.raises(CaptionerError, match=f"^{setting}: the environment variable A_KEY has a line break") as error:
        access(**SETTINGS[setting])
    assert secret not in str(error.value)


@pytest.mark.parametrize("name", KEYS)
def test_a_default_key_that_fits_into_no_header(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "one\ntwo")
    with pytest.raises(CaptionerError, match=f"^the environment variable {name} has a line break"):
        access()


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_secret_that_is_missing_or_empty(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    with pytest.raises(CaptionerError, match=f"^{setting}: there is no environment variable A_KEY; set it"):
        access(**SETTINGS[setting])
    monkeypatch.setenv("A_KEY", "\n")
    with pytest.raises(CaptionerError, match=f"^{setting}: the environment variable A_KEY is empty; set it"):
        access(**SETTINGS[setting])


@pytest.mark.parametrize(
    "settings",
    [
        {"request_headers": ["x-key: env:A_KEY"]},
        {"request_query": ["code=env:A_KEY"]},
        {"api_keys": ["env:A_KEY"]},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_missing_variable_is_found_before_anything_starts(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RegionCapConfig(input="a.jsonl", endpoint="http://127.0.0.1:9/v1", model="m", **settings)
    monkeypatch.delenv("A_KEY", raising=False)
    with pytest.raises(CaptionerError, match="there is no environment variable A_KEY"):
        check_environment(config)
    monkeypatch.setenv("A_KEY", "quiet-river")
    check_environment(config)


def test_blocks_are_not_read_before_prefect_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def from_block(name: str, where: str) -> str:
        read.append(name)
        return "quiet-river"

    monkeypatch.setattr(credentials, "_from_block", from_block)
    config = RegionCapConfig(input="a.jsonl", endpoint="http://127.0.0.1:9/v1", model="m", api_keys=["block:a-key"])
    check_environment(config)
    assert read == []
    access_of(config)
    assert read == ["a-key"]
