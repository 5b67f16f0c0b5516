"""What the settings of a model that finds regions must satisfy. Raises ValueError naming the setting."""

from __future__ import annotations

from regioncap.config.checks import check_url, known_families
from regioncap.config.derived import DerivedSettings
from regioncap.config.request_parts import keys_of
from regioncap.config.templates import FIND_TEMPLATES, template_names


def check_finder(config: DerivedSettings) -> None:
    """A model that finds regions must be there, be known by its coordinates, and be asked in templates."""
    fields = type(config).model_fields
    if not config.asks_for_regions:
        for name in (*FIND_TEMPLATES, "find_coordinates", "find_fallback", "find_model", "find_endpoint"):
            if getattr(config, name) != fields[name].default:
                raise ValueError(
                    f"{name}: extractor {config.extractor!r} asks no model; set extractor=vlm, or remove it"
                )
    elif config.min_score != fields["min_score"].default:
        raise ValueError("min_score: extractor 'vlm' gives no scores; remove it")
    if config.find_api_keys and not config.find_endpoint:
        raise ValueError("find_api_keys: expected find_endpoint with it, got none; the captions' keys are in api_keys")
    if not config.asks_for_regions:
        return
    _check_who_finds(config)
    for name in FIND_TEMPLATES:
        template_names(getattr(config, name), name)
    if config.find_box_coordinates is None:
        raise ValueError(
            f"find_coordinates: which ones the model {config.finder_model!r} was trained with is not known (known: "
            f"{known_families()}); expected px, 0-1 or 0-1000, with -yxyx where y comes first"
        )


def _check_who_finds(config: DerivedSettings) -> None:
    for url in config.find_endpoint:
        check_url(url, "find_endpoint", "http://host:8000/v1", "keys come from find_api_keys")
    keys_of(config.find_api_keys, len(config.find_endpoint), "find_api_keys")
    asks = config.captioner_name in ("openai", "vllm")
    if not asks and not config.find_endpoint:
        raise ValueError(
            f"find_endpoint: captioner {config.captioner!r} has no model that could be asked for regions; expected the "
            "base URL of one that can, and find_model, or another extractor"
        )
    if not config.finder_model:
        raise ValueError("find_model: expected the name of a vision-language model, got none")
    if config.captioner_name == "vllm" and config.finds_apart and not config.find_endpoint:
        raise ValueError(
            f"find_model: captioner 'vllm' starts the model {config.model!r} alone; expected find_endpoint with it, "
            "where this one is served"
        )
    if config.finds_apart and config.runner != "threads":
        raise ValueError(
            f"runner: expected 'threads' where regions are found by another model or server than the captions', got "
            f"{config.runner!r}; remove find_model and find_endpoint, or the runner"
        )
