"""Serving objects as settings: ours, and objects with the attributes that DataFlow's classes have."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from regioncap.config.model import RegionCapConfig
from regioncap.dataflow import APIVLMServing_openai, LocalModelVLMServing_vllm
from regioncap.dataflow.captioners import Captioner
from regioncap.errors import UsageError

URL = "http://gateway:8000/v1"
KEY, OTHER = "sk-gateway-0123456789", "sk-another-0123456789"


class Serving(SimpleNamespace):
    """An object with the attributes that a serving class of DataFlow's sets."""


def config_of(serving: Any, **given: Any) -> RegionCapConfig:
    """The config of a run with this serving object."""
    return RegionCapConfig(input="a.jsonl", **Captioner.of(serving, given).settings, **given)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DF_API_KEY", OTHER)
    monkeypatch.setenv("GATEWAY_KEY", KEY)


def test_a_local_model_is_served_by_vllm() -> None:
    config = config_of(LocalModelVLMServing_vllm("Qwen/Qwen2.5-VL-7B-Instruct", vllm_tensor_parallel_size=2))
    assert (config.captioner_name, config.model) == ("vllm", "Qwen/Qwen2.5-VL-7B-Instruct")
    sampling = (config.temperature, config.top_p, config.top_k, config.repetition_penalty, config.seed)
    assert sampling == (0.7, 0.9, 40, 1.0, 42)
    assert (config.max_tokens, config.max_model_len) == (1024, 4096)
    assert (config.tensor_parallel_size, config.gpu_memory_utilization) == (2, 0.9)


@pytest.mark.parametrize(("folder", "argument"), [("/models/a b", "'/models/a b'"), ("~/models", "/home/me/models")])
def test_a_model_is_downloaded_where_the_object_says(
    folder: str, argument: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    serving = LocalModelVLMServing_vllm("Qwen/tiny", hf_cache_dir="/unused", hf_local_dir=folder)
    assert config_of(serving).vllm_args == f"--download-dir {argument}"


def test_none_leaves_the_context_length_to_what_the_pictures_need() -> None:
    assert config_of(LocalModelVLMServing_vllm("Qwen/tiny", vllm_max_model_len=None)).max_model_len is None


def test_a_server_is_asked_as_the_object_says() -> None:
    config = config_of(APIVLMServing_openai(URL, "GATEWAY_KEY", "qwen", max_workers=3, timeout=7))
    assert (config.captioner_name, config.endpoint, config.model) == ("openai", (URL,), "qwen")
    assert (config.api_keys, config.max_in_flight, config.request_timeout) == (("env:GATEWAY_KEY",), 3, 7)
    assert config.temperature == -1  # the class sends none


def test_the_signatures_have_the_documented_defaults() -> None:
    serving = APIVLMServing_openai()
    assert (serving.api_url, serving.model_name) == ("https://api.openai.com/v1", "o4-mini")
    assert (serving.max_workers, serving.timeout) == (10, 1800)
    assert (serving.image_io, serving.send_request_stream) == (None, False)


CLIENTS: dict[str, dict[str, Any]] = {
    "APIVLMServing_openai": {"client": SimpleNamespace(api_key=KEY), "temperature": 0.0, "timeout": 1800},
    "APILLMServing_request": {
        "api_url": f"{URL}/chat/completions",
        "api_key": KEY,
        "timeout": (10.0, 120.0),
        "configs": {"temperature": 0.5, "frequency_penalty": 0.2},
    },
    "LiteLLMServing": {
        "model_name": "hosted_vllm/qwen",
        "serving_type": "chat",
        "api_key": KEY,
        "key_name_of_api_key": "GATEWAY_KEY",
        "temperature": 0.7,
        "max_tokens": 512,
        "top_p": 1.0,
    },
}


@pytest.mark.parametrize("name", CLIENTS)
def test_clients_of_dataflow_are_read(name: str) -> None:
    """With the key's own variable, though most of them do not say which that was, and another key is set."""
    values: dict[str, Any] = {"api_url": URL, "model_name": "qwen", "max_workers": 5, **CLIENTS[name]}
    config = config_of(Serving(**values))
    assert (config.endpoint, config.model, config.max_in_flight) == ((URL,), "qwen", 5)
    assert config.api_keys == ("env:GATEWAY_KEY",)
    assert config.temperature == values.get("configs", values)["temperature"]
    assert config.request_body == ({"frequency_penalty": 0.2} if "configs" in values else {})


ENGINES: dict[str, dict[str, Any]] = {
    "LocalVLMServing_vllm": {"vllm_temperature": 0.2, "vllm_top_k": 7, "vllm_seed": None, "vllm_max_tokens": 300},
    "LocalModelLLMServing_sglang": {
        "sgl_temperature": 0.2,
        "sgl_top_k": 7,
        "sgl_max_new_tokens": 300,
        "sgl_tp_size": 1,
    },
    "LocalHostLLMAPIServing_vllm": {
        "host": "127.0.0.1",
        "port": 12345,
        "backend_initialized": False,
        "temperature": 0.2,
        "top_k": 7,
        "max_tokens": 300,
    },
    "LocalModelVLMServing_vllm of DataFlow-MM": {
        "hf_model_name_or_path": None,
        "real_model_path": "Qwen/tiny",
        "sampling_params": SimpleNamespace(temperature=0.2, top_k=7, max_tokens=300),
    },
}


@pytest.mark.parametrize("name", ENGINES)
def test_local_models_of_dataflow_are_read(name: str) -> None:
    config = config_of(Serving(**{"hf_model_name_or_path": "Qwen/tiny", **ENGINES[name]}))
    assert (config.captioner_name, config.model) == ("vllm", "Qwen/tiny")
    assert (config.temperature, config.top_k, config.seed, config.max_tokens) == (0.2, 7, None, 300)


def test_a_model_that_takes_the_gpu_is_told(caplog: pytest.LogCaptureFixture) -> None:
    config_of(Serving(hf_model_name_or_path="Qwen/tiny", llm=object()))
    assert "has loaded its model" in caplog.text


def test_a_server_that_the_object_has_started_is_used() -> None:
    values = {**ENGINES["LocalHostLLMAPIServing_vllm"], "backend_initialized": True}
    config = config_of(Serving(hf_model_name_or_path="Qwen/tiny", **values))
    assert (config.captioner_name, config.endpoint) == ("openai", ("http://127.0.0.1:12345/v1",))


@pytest.mark.parametrize(
    "serving",
    [
        None,
        "Qwen/tiny",
        Serving(model_name="gemini-2.5-flash", project="p"),
        Serving(model_name="all-MiniLM-L6-v2", device="cpu"),
        Serving(api_url=None, model_name="gpt-4o"),
        Serving(api_url=URL, model_name=None),
    ],
    ids=["None", "text", "Vertex", "embeddings", "no URL", "no model"],
)
def test_what_cannot_be_read_is_refused(serving: Any) -> None:
    with pytest.raises(UsageError, match=f"^llm_serving: .*{type(serving).__name__}"):
        Captioner.of(serving)


def test_a_key_that_no_variable_holds_is_refused_without_being_shown() -> None:
    serving = Serving(api_url=URL, model_name="qwen", api_key="sk-lost-0123456789")
    with pytest.raises(UsageError, match=r"settings=\{'api_keys': 'env:NAME'\}") as refused:
        Captioner.of(serving)
    assert "sk-lost" not in str(refused.value)
    assert config_of(serving, api_keys="env:GATEWAY_KEY").api_keys == ("env:GATEWAY_KEY",)


def test_a_key_goes_to_no_other_server() -> None:
    settings = Captioner.of(APIVLMServing_openai(URL, "GATEWAY_KEY"), ["endpoint"]).settings
    assert not {"endpoint", "api_keys"} & set(settings)


@pytest.mark.parametrize("name", ["sk-pasted 0123456789", "", 7])
def test_what_names_no_variable_is_not_shown(name: Any) -> None:
    with pytest.raises(UsageError, match="expected the name of an environment variable") as refused:
        APIVLMServing_openai(URL, name)
    assert "pasted" not in str(refused.value)


@pytest.mark.parametrize("value", [None, " "])
def test_a_variable_without_a_key_is_named(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is None:
        monkeypatch.delenv("GATEWAY_KEY")
    else:
        monkeypatch.setenv("GATEWAY_KEY", value)
    with pytest.raises(UsageError, match="the environment variable GATEWAY_KEY is not set"):
        APIVLMServing_openai(URL, "GATEWAY_KEY")


def test_captions_are_no_pictures() -> None:
    with pytest.raises(UsageError, match="image_io"):
        APIVLMServing_openai(URL, "GATEWAY_KEY", image_io=object())
