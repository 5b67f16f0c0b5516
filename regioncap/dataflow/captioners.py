"""Reads serving objects, DataFlow's own and ours, as settings of the captioner.

Only attributes are read: model, URL, name of the key's variable, sampling, and how vLLM is started. DataFlow's classes
are never called: they return a failure as if it were a caption, and no finish reason.
"""

from __future__ import annotations

import hmac
import logging
import os
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from regioncap.dataflow.serving import check_variable
from regioncap.errors import UsageError

logger = logging.getLogger("regioncap")

LOADED = (
    "%s has loaded its model in this process; a vLLM of our own is started beside it, and needs GPU memory, too. "
    "regioncap.dataflow.LocalModelVLMServing_vllm loads nothing"
)

_SAMPLING = {
    "temperature": ("temperature", "vllm_temperature", "sgl_temperature"),
    "top_p": ("top_p", "vllm_top_p", "sgl_top_p"),
    "top_k": ("top_k", "vllm_top_k", "sgl_top_k"),
    "repetition_penalty": ("repetition_penalty", "vllm_repetition_penalty", "sgl_repetition_penalty"),
    "seed": ("seed", "vllm_seed"),
    "max_tokens": ("max_tokens", "vllm_max_tokens", "sgl_max_new_tokens"),
}
_REQUESTS = {"max_in_flight": ("max_workers",), "request_timeout": ("timeout",)}
_ENGINE = {
    "tensor_parallel_size": ("tensor_parallel_size", "vllm_tensor_parallel_size", "sgl_tp_size"),
    "max_model_len": ("max_model_len", "vllm_max_model_len"),
    "gpu_memory_utilization": (
        "gpu_memory_utilization",
        "vllm_gpu_memory_utilization",
        "sgl_mem_fraction_static",
    ),
}
"""Our settings, and the attributes of DataFlow's classes that hold their values."""

_MODEL = ("hf_model_name_or_path", "real_model_path")
_DOWNLOADS = ("hf_local_dir", "hf_cache_dir")
_ROUTES = ("openai/", "hosted_vllm/")
"""What LiteLLM puts before the names of models on OpenAI-compatible servers."""

KEY_SETTINGS = frozenset({"endpoint", "api_keys", "api_key_block", "request_headers", "request_query"})
"""Settings that say which key is sent where: an object's key is for its own URL alone."""


@dataclass(frozen=True)
class Captioner:
    """The captioner that a serving object describes.

    `settings`: as `region_caption` takes them. `names`: the attributes that they were read from, by setting.
    """

    settings: Mapping[str, Any]
    names: Mapping[str, str]

    @classmethod
    def of(cls, serving: Any, given: Collection[str] = ()) -> Captioner:
        """The captioner of a serving object. `given`: settings that the user gives besides, and that win.

        Raises UsageError, naming the object's class, for what cannot be read.
        """
        made = _Reading(serving)
        if isinstance(getattr(serving, "api_url", None), str):
            made.read_client(needs_key=not KEY_SETTINGS & set(given))
        elif made.first(_MODEL) is not None:
            made.read_engine()
        else:
            raise UsageError(
                f"llm_serving: expected an object with a URL (api_url, model_name) or a model (hf_model_name_or_path), "
                f"as LocalModelVLMServing_vllm and APIVLMServing_openai are, got {type(serving).__name__}"
            )
        return cls({name: value for name, value in made.settings.items() if name not in given}, made.names)


class _Reading:
    """The settings read from one serving object so far."""

    def __init__(self, serving: Any) -> None:
        self._serving = serving
        # DataFlow-MM's engines keep their sampling apart, its clients further fields of requests.
        self._sampling = getattr(serving, "sampling_params", None)
        self._configs = getattr(serving, "configs", None)
        self.settings: dict[str, Any] = {}
        self.names: dict[str, str] = {}

    def first(self, names: Iterable[str]) -> Any:
        """The value of the first of these attributes that has one."""
        return next((value for _, value in self._values(names)), None)

    def read_client(self, needs_key: bool) -> None:
        """A client of a server that runs somewhere."""
        self._server(self._serving.api_url)
        if needs_key:
            self.settings["api_keys"] = (f"env:{_key_variable(self._serving)}",)
        self._read(_SAMPLING, _REQUESTS)
        self.settings.setdefault("temperature", -1)  # such a class sends none: the server's own
        if more := self._further_fields():
            self.settings["request_body"] = more

    def read_engine(self) -> None:
        """A model that the object would load, or has a server of its own for."""
        self.settings["model"] = str(self.first(_MODEL))
        if getattr(self._serving, "llm", None) is not None:
            logger.warning(LOADED, type(self._serving).__name__)
        host, port = getattr(self._serving, "host", None), getattr(self._serving, "port", None)
        if host and port and getattr(self._serving, "backend_initialized", False):
            self.settings["endpoint"] = (f"http://{host}:{port}/v1",)
        elif folder := self.first(_DOWNLOADS):
            self.settings["vllm_args"] = shlex.join(["--download-dir", os.path.expanduser(folder)])  # noqa: PTH111
        self._read(_SAMPLING, _REQUESTS, _ENGINE)

    def _server(self, url: str) -> None:
        model = getattr(self._serving, "model_name", None)
        if not isinstance(model, str) or not model:
            raise UsageError(f"llm_serving: {type(self._serving).__name__} has no model_name; expected a model's name")
        if hasattr(self._serving, "serving_type"):  # LiteLLM's: the server knows the model without the route to it
            model = next((model.removeprefix(route) for route in _ROUTES if model.startswith(route)), model)
        self.settings.update(endpoint=(url,), model=model)

    def _read(self, *tables: Mapping[str, tuple[str, ...]]) -> None:
        for setting, names in ((setting, names) for table in tables for setting, names in table.items()):
            for name, value in self._values(names):
                self.settings[setting] = value[-1] if isinstance(value, tuple) else value  # (connect, read)
                self.names[setting] = name
                break

    def _values(self, names: Iterable[str]) -> Iterator[tuple[str, Any]]:
        """The attributes of these names, and entries of what the object keeps apart, that have a value."""
        for name in names:
            for holder in (self._serving, self._sampling, self._configs):
                value = holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
                if value is not None and not callable(value):
                    yield name, value

    def _further_fields(self) -> dict[str, Any]:
        known = {name for names in _SAMPLING.values() for name in names}
        configs = self._configs if isinstance(self._configs, Mapping) else {}
        return {name: value for name, value in configs.items() if name not in known}


def _key_variable(serving: Any) -> str:
    """The environment variable that a client's key is from.

    DataFlow's clients keep the key, most of them without its variable: that is found by comparing, so that no other
    key is ever sent to their URL.
    """
    name = getattr(serving, "key_name_of_api_key", None)
    if name is not None:
        check_variable(name)
        return str(name)
    key = getattr(serving, "api_key", None) or getattr(getattr(serving, "client", None), "api_key", None)
    names = dict.fromkeys(("DF_API_KEY", *os.environ))
    for name in names if isinstance(key, str) and key else ():
        if name.isidentifier() and name.isascii() and _same(os.environ.get(name, ""), str(key)):
            return name
    raise UsageError(
        f"llm_serving: {type(serving).__name__} does not say which environment variable its key is from, and none "
        "holds it now; name one: ExistingBBoxDataGenConfig(settings={'api_keys': 'env:NAME'})"
    )


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogateescape"), other.encode("utf-8", "surrogateescape"))
