"""What a server's list of models says."""

from __future__ import annotations

from typing import Any

from regioncap.captioners.chat import loads_body

TELLING = ("root", "owned_by", "max_model_len")
"""What vLLM and its kin say of a model that changes only when another one is served, or in another way."""


def models_in(content: bytes) -> list[dict[str, Any]] | None:
    """The models in the body of a list of models; None when it is something else."""
    try:
        listed = loads_body(content)
        models = listed["data"] if isinstance(listed, dict) else listed
        if models is None:  # Ollama without a model
            return []
        return [{**model, "id": str(model["id"])} for model in models]
    except (ValueError, KeyError, TypeError):
        return None


def details_of(name: str, models: list[dict[str, Any]]) -> dict[str, str]:
    """What a list tells of the model `name`, as texts; empty where it tells nothing, or has no such model."""
    found = next((model for model in models if model["id"] == name), {})
    return {key: str(found[key])[:200] for key in TELLING if found.get(key) is not None}
