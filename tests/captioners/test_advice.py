"""Which setting a server's refusal points at."""

from __future__ import annotations

import pytest

from regioncap.captioners.advice import advice_for

SAID: list[tuple[str, str]] = [
    ("400: Unsupported value: 'temperature' does not support 0 with this model. Only the default is supported.",
     "--temperature -1"),
    ("400: Invalid 'top_p': must be unset", "setting top_p out"),
    ("400: Unsupported parameter: 'seed'", "setting seed out"),
    ("400: This model's maximum context length is 4096 tokens. However, you requested 5000", "--max-pixels"),
    ("400: max_tokens is too large: 8192. This model supports at most 4096 completion tokens", "--max-tokens"),
    ("413: 413 Request Entity Too Large nginx/1.24", "client_max_body_size"),
    ("500: image input is not supported - hint: if this is unexpected, you may need to provide the mmproj", "--mmproj"),
    ("404: No endpoints found that support image input", "takes no pictures"),
    ("400: This model does not support images", "takes no pictures"),
    ("400: x is not a multimodal model", "takes no pictures"),
    ("400: At most 1 image(s) may be provided in one request.", "--prompt-mode marks"),
    ("400: This model only support stream mode, please enable the stream parameter", "as a stream"),
    ("400: parameter.enable_thinking must be set to false for non-streaming calls", "enable_thinking"),
    ("404: The model `gpt-9` does not exist or you do not have access to it.", "--model"),
    ("404: model 'x' not found, try pulling it first", "--model"),
    ("400: model_not_found", "--model"),
    ("404: DeploymentNotFound", "--model"),
    ("400: Your credit balance is too low", "Add credit"),
    ("403: You exceeded your current quota, please check your plan and billing details", "Add credit"),
    ("404: Missing required query parameter: api-version", "--request-query api-version"),
    ("403: Forbidden", "REGIONCAP_API_KEY"),
    ("400: No connected db.", "REGIONCAP_API_KEY"),
    ("400: Unrecognized request argument supplied: structured_outputs", "--structure none"),
    ("422: extra inputs are not permitted: guided_regex", "--structure none"),
    ("400: Developer instruction is not enabled for models/gemma-3", "--system-prompt"),
    ("400: System role not supported", "--system-prompt"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "expected"), SAID, ids=[said[:40] for said, _ in SAID])
def test_the_setting_to_change_is_named(said: str, expected: str) -> None:
    assert expected in advice_for(said)


@pytest.mark.parametrize("said", ["500: Internal Server Error", "400: oops", ""])
def test_nothing_is_guessed(said: str) -> None:
    assert advice_for(said) == ""
