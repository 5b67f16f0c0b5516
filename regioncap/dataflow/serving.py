"""DataFlow's two serving classes for vision-language models, as descriptions: nothing is loaded when one is made.

Their attributes have the names that DataFlow's own classes have, so that both are read alike: see `captioners.py`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from regioncap.errors import UsageError

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass
class LocalModelVLMServing_vllm:
    """A model that vLLM serves on this machine, while a run needs it.

    `hf_model_name_or_path`: a name on the Hugging Face Hub, or a folder. `hf_local_dir`, else `hf_cache_dir`: where
    vLLM downloads it to. `vllm_max_model_len`: context length in tokens; None: what the largest picture needs.
    """

    hf_model_name_or_path: str
    hf_cache_dir: str | None = None
    hf_local_dir: str | None = None
    vllm_tensor_parallel_size: int = 1
    vllm_temperature: float = 0.7
    vllm_top_p: float = 0.9
    vllm_max_tokens: int = 1024
    vllm_top_k: int = 40
    vllm_repetition_penalty: float = 1.0
    vllm_seed: int | None = 42
    vllm_max_model_len: int | None = 4096
    vllm_gpu_memory_utilization: float = 0.9


@dataclass
class APIVLMServing_openai:
    """A server with OpenAI's interface.

    `api_url`: its base URL, or the whole address of its chat completions. `key_name_of_api_key`: the environment
    variable that holds its key; the key itself is never kept. `max_workers`: maximum number of concurrent requests.
    `timeout`: of a request, in seconds. `send_request_stream`: has no effect on captions, which are needed whole.

    Raises UsageError if there is no such variable, and for an `image_io`, which is for models that draw.
    """

    api_url: str = "https://api.openai.com/v1"
    key_name_of_api_key: str = "DF_API_KEY"
    model_name: str = "o4-mini"
    image_io: Any = None
    send_request_stream: bool = False
    max_workers: int = 10
    timeout: float = 1800

    def __post_init__(self) -> None:
        check_variable(self.key_name_of_api_key)
        if self.image_io is not None:
            raise UsageError("image_io: is for models that draw pictures; expected None, since captions are text")


def check_variable(name: object) -> None:
    """Raises UsageError unless there is an environment variable of this name with a value."""
    if not isinstance(name, str) or not _VARIABLE.fullmatch(name):  # it may be the key itself, so it is not shown
        raise UsageError(
            "key_name_of_api_key: expected the name of an environment variable (letters, digits, _), got something else"
        )
    if not os.environ.get(name, "").strip():
        raise UsageError(
            f"key_name_of_api_key: the environment variable {name} is not set or empty; set it to the server's key, "
            "or to any text if the server requires none"
        )
