"""What users add to requests: every form in which it can be given, and that no secret is kept or shown."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from regioncap.config.files import read_config_file
from regioncap.config.model import RegionCapConfig
from regioncap.config.references import names_credential
from regioncap.errors import ConfigError, UsageError

SECRET = "quiet-river-7"


def config(**values: Any) -> RegionCapConfig:
    return RegionCapConfig(**{"input": "a.jsonl", "model": "m", "endpoint": "http://host/v1", **values})


HEADERS: list[Any] = [
    {"api-key": "env:AZURE_KEY", "X-Title": "a: b, c"},
    ["api-key: env:AZURE_KEY", "X-Title:a: b, c"],
    [{"api-key": "env:AZURE_KEY"}, {"X-Title": "a: b, c"}],
]


@pytest.mark.parametrize("given", HEADERS)
def test_headers_as_a_table_or_as_lines(given: Any) -> None:
    made = config(request_headers=given)
    assert made.headers == {"api-key": "env:AZURE_KEY", "X-Title": "a: b, c"}
    assert RegionCapConfig(**made.model_dump(mode="json")) == made  # what summaries hold makes the same config


def test_values_of_files_need_no_quotes(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "request_query: {api-version: 2024-10-21, n: 1}\nrequest_headers:\n- api-key: env:K\n- X-Debug: true\n"
    )
    (tmp_path / "a.toml").write_text(
        'request_query = {api-version = 2024-10-21, n = 1}\nrequest_headers = {api-key = "env:K", X-Debug = true}\n'
    )
    for name in ("a.yaml", "a.toml"):
        made = config(**read_config_file(str(tmp_path / name)))
        assert made.query == {"api-version": "2024-10-21", "n": "1"}
        assert made.headers == {"api-key": "env:K", "X-Debug": "true"}


@pytest.mark.parametrize("given", [{"api-version": "2024-10-21"}, ["api-version=2024-10-21"], "api-version=2024-10-21"])
def test_a_query_as_a_table_or_as_lines(given: Any) -> None:
    assert config(request_query=given).query == {"api-version": "2024-10-21"}


@pytest.mark.parametrize("given", [{"provider": {"only": ["a"]}, "n_x": 1}, '{"provider": {"only": ["a"]}, "n_x": 1}'])
def test_a_body_as_a_table_or_as_json(given: Any) -> None:
    assert config(request_body=given).request_body == {"provider": {"only": ["a"]}, "n_x": 1}


def test_settings_of_endpoints_from_files(tmp_path: Path) -> None:
    values = {
        "request_headers": {"api-key": "env:K"},
        "request_query": {"v": "1"},
        "request_body": {"reasoning_effort": "low"},
        "api_keys": ["block:a-key"],
    }
    (tmp_path / "a.yaml").write_text(json.dumps(values))
    (tmp_path / "a.toml").write_text(
        'api_keys = ["block:a-key"]\nrequest_query = ["v=1"]\n[request_headers]\napi-key = "env:K"\n'
        '[request_body]\nreasoning_effort = "low"\n'
    )
    from_yaml, from_toml = (config(**read_config_file(str(tmp_path / name))) for name in ("a.yaml", "a.toml"))
    assert from_yaml == from_toml


def base() -> dict[str, Any]:
    return {"input": "a.jsonl", "model": "m", "endpoint": "http://host/v1"}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "literal header": ({"request_headers": {"api-key": SECRET}}, r"_headers: api-key .* 'api-key: env:VARIABLE'"),
    "literal value": ({"request_headers": [f"X-Who: Bearer {SECRET}"]}, r"X-Who looks like a credential.*block:NAME"),
    "literal query": ({"request_query": [f"key={SECRET}"]}, r"request_query: key .* 'key=env:VARIABLE'"),
    "literal key": ({"api_keys": [SECRET]}, r"api_keys: expected env:VARIABLE or block:NAME .*, never a key itself"),
    "literal in body": ({"request_body": {"a": [{"api_key": SECRET}]}}, r"request_body: api_key looks like"),
    "no header": ({"request_headers": [SECRET]}, r"request_headers: expected NAME: VALUE, such as 'api-key: env:"),
    "no table": ({"request_headers": [["api-key", SECRET]]}, r"request_headers: expected a valid string"),
    "no query": ({"request_query": [SECRET]}, r"request_query: expected NAME=VALUE, such as 'api-version="),
    "not a name": ({"request_headers": [f"api key: {SECRET}"]}, r"expected a header's name \(letters, digits"),
    "two lines": ({"request_headers": [f"X-A: b\r\nX-Key: {SECRET}"]}, r"expected one line .* value of X-A"),
    "no value": ({"request_headers": ["X-A:"]}, r"as the value of X-A"),
    "not latin-1": ({"request_headers": ["X-A: 键"]}, r"Latin-1 characters as the value of X-A"),
    "twice": ({"request_headers": ["X-A: 1", "x-a: 2"]}, r"expected each name once, got x-a twice"),
    "query twice": ({"request_query": ["a=1", "a=2"]}, r"expected each name once, got a twice"),
    "reserved": ({"request_headers": ["Content-Type: a"]}, r"Content-Type is set with the connection; remove it"),
    "host": ({"request_headers": ["host: a"]}, r"host is set with the connection"),
    "not a variable": ({"request_headers": [f"api-key: env:{SECRET}"]}, r"api-key: expected the name of an env"),
    "not a block": ({"api_keys": ["block:Not One"]}, r"api_keys: expected the name of a Prefect Secret block"),
    "too many keys": ({"api_keys": ["env:A", "env:B"]}, r"one for each in their order \(1\), got 2"),
    "two keys": ({"api_keys": ["env:A"], "api_key_block": "b"}, r"api_keys: expected either this or api_key_block"),
    "two logins": ({"api_keys": "env:A", "request_headers": ["Authorization: env:B"]}, r"sent as Authorization"),
    "key as block": ({"api_key_block": "sk-0123456789"}, r"api_key_block: expected the name of a Prefect"),
    "no json": ({"request_body": '{"api_key": "quiet-river-7"'}, r"request_body: expected a JSON object \(Expecting"),
    "no object": ({"request_body": "[1]"}, r"request_body: expected a valid dictionary, got something else"),
    "nan": ({"request_body": {"a": float("nan")}}, r"request_body: expected a JSON object"),
    "no json value": ({"request_body": {"a": {1, 2}}}, r"request_body: expected a JSON object"),
    "vllm": ({"request_headers": ["X-A: b"], "endpoint": ()}, r"request_headers: only an endpoint needs it"),
    "vllm, ca_file": ({"ca_file": "a.pem", "endpoint": ()}, r"ca_file: only an endpoint needs it"),
    "pixels": ({"request_body": {"a": 1}, "captioner": "pixels", "endpoint": ()}, r"sends no requests; remove it"),
    "query in URL": ({"endpoint": "http://h/v1?api-version=1"}, r"the question mark goes into request_query"),
    "user in a bad URL": ({"endpoint": f"http://me:{SECRET}@h:99999/v1"}, r"endpoint: expected a URL such as"),
    "port": ({"endpoint": "http://h:80000/v1"}, r"endpoint: expected a URL such as .*, got 'http://h:80000/v1'"),
    "brackets": ({"endpoint": "http://[::1/v1"}, r"endpoint: expected a URL such as"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_without_the_value(case: str) -> None:
    values, words = WRONG[case]
    with pytest.raises(UsageError, match=words) as error:
        config(**values)
    assert SECRET not in str(error.value) + repr(error.value)
    with pytest.raises((UsageError, ValidationError)) as invalid:  # as those see it who make the model themselves
        RegionCapConfig(**{**base(), **values})
    assert SECRET not in str(invalid.value)


def test_a_wrong_value_that_may_be_a_secret_is_a_wrong_value_too() -> None:
    with pytest.raises(ConfigError) as error:
        config(request_body=f'{{"key": {SECRET}')
    assert error.value.field == "request_body"
    assert str(error.value).endswith(", got something else")
    assert SECRET not in f"{error.value.args} {error.value!r} {error.value.actual}"
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


OWN_FIELDS = {
    "model": "model", "messages": "prompt", "max_tokens": "max_tokens", "max_completion_tokens": "max_tokens",
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "seed": "seed", "stream": "answers are always",
    "n": "every request is for one answer", "response_format": "structure", "guided_regex": "structure",
    "structured_outputs": "structure", "stop": "end answers early", "extra_headers": "request_headers",
}  # fmt: skip


@pytest.mark.parametrize("name", OWN_FIELDS)
def test_a_field_that_is_set_otherwise_is_refused_with_how(name: str) -> None:
    with pytest.raises(UsageError, match=f"^request_body: remove {name}: .*{OWN_FIELDS[name]}"):
        config(request_body={name: 1})


CREDENTIALS = {
    "Authorization", "api-key", "x-api-key", "Ocp-Apim-Subscription-Key", "X-Goog-Api-Key", "Cookie", "X-Auth-Token",
    "cf-aig-authorization", "Helicone-Auth", "apikey", "key", "sig", "code", "X-Amz-Security-Token", "password",
}  # fmt: skip
HARMLESS = {
    "api-version", "X-Title", "HTTP-Referer", "OpenAI-Organization", "x-portkey-provider", "anthropic-version",
    "x-request-id", "max-tokens", "deployment", "X-Keyboard",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CREDENTIALS | HARMLESS))
def test_which_names_are_those_of_credentials(name: str) -> None:
    assert names_credential(name) is (name in CREDENTIALS)


ENDPOINTS = {
    "http://h:1/v1/": "http://h:1/v1",
    "http://h:1/v1/chat/completions": "http://h:1/v1",
    "http://h:1/v1/chat/completions/": "http://h:1/v1",
    "http://h:1/v1/models": "http://h:1/v1",
    "https://n.openai.azure.com/openai/deployments/d/": "https://n.openai.azure.com/openai/deployments/d",
}


@pytest.mark.parametrize("given", ENDPOINTS)
def test_endpoints_become_base_urls(given: str) -> None:
    assert config(endpoint=given).endpoint == (ENDPOINTS[given],)


def test_a_body_is_part_of_what_identifies_answers_only_if_there_is_one() -> None:
    assert "request_body" not in config().values_read_by("identity")
    assert config(request_body={"a": 1}).values_read_by("identity")["request_body"] == {"a": 1}


def test_the_form_has_texts_and_lists_of_texts() -> None:
    fields = RegionCapConfig.model_json_schema()["properties"]
    assert (fields["request_body"]["type"], fields["request_body"]["default"]) == ("string", "")
    for name in ("api_keys", "request_headers", "request_query"):
        assert (fields[name]["type"], fields[name]["items"]) == ("array", {"type": "string"})


def test_settings_that_may_name_secrets_are_declared() -> None:
    for name in RegionCapConfig.fields_read_by("secrets"):
        with pytest.raises(UsageError) as error:
            config(**{name: {"a": {"b": SECRET}} if name != "request_body" else SECRET})
        assert SECRET not in str(error.value)
