"""Settings that changed since the output's last run, if other answers are asked for because of them."""

from __future__ import annotations

import contextlib
from typing import Any

from regioncap.config.model import RegionCapConfig
from regioncap.config.templates import template_names
from regioncap.errors import SettingsChanged, UsageError
from regioncap.output.outputs import config_of_output
from regioncap.registry import SCORED
from regioncap.storage.filesystem import Filesystems
from regioncap.storage.runs import entry_place, registered

MAX_SHOWN = 60
"""Characters of a setting in a message."""


def differences(config: RegionCapConfig, files: Filesystems) -> list[str]:
    """Each setting that has other answers asked for than the output's last run began with: "name old -> new"."""
    return _differences(_last_config(config, files), config)


def check_settings(config: RegionCapConfig, files: Filesystems, *, deployed: bool = False) -> list[str]:
    """`differences`, unless they are to be refused. `deployed`: nobody is watching. Raises SettingsChanged."""
    then = _last_config(config, files)
    found = _differences(then, config)
    if then is not None and found and refuses(config, deployed=deployed):
        names = ("captioner", *config.fields_with_role("regions", "marks", "words"))
        raise SettingsChanged(
            f"on_config_change: the last run for this output had other settings: {'; '.join(found)}. Restore them, "
            "choose another output, or set on_config_change=recaption to request all captions again.",
            config.model_copy(update={name: getattr(then, name) for name in names}),
        )
    return found


def _last_config(config: RegionCapConfig, files: Filesystems) -> RegionCapConfig | None:
    """The settings that the output's last run began with; None where nothing is known of them."""
    entry = entry_place(files.place(config.cache_path), config.file_name_prefix, config.output)
    earlier = registered(entry).config or config_of_output(files.place(config.output)) or {}
    known = {name: value for name, value in earlier.items() if name in RegionCapConfig.model_fields}
    with contextlib.suppress(UsageError):  # written by a version with other settings: nothing can be said
        return RegionCapConfig(**known) if known else None
    return None


def _differences(then: RegionCapConfig | None, now: RegionCapConfig) -> list[str]:
    names = changed_settings(then, now) if then is not None else []
    return [f"{name} {_shown(then, name)} -> {_shown(now, name)}" for name in names if then is not None]


def refuses(config: RegionCapConfig, *, deployed: bool) -> bool:
    """Whether captions that there are may not be requested again. `deployed`: nobody is watching."""
    return config.on_config_change == "refuse" or (config.on_config_change == "auto" and deployed)


def changed_settings(then: RegionCapConfig, now: RegionCapConfig) -> list[str]:
    """The settings because of which `now` asks for other answers than `then`: each would, put back on its own."""
    asked = asked_for(now)
    if asked_for(then) == asked:
        return []
    names = RegionCapConfig.fields_with_role("regions", "marks", "words")
    if _captioned_by(then) != _captioned_by(now):  # how the other one was asked does not matter then
        names = ("captioner", *RegionCapConfig.fields_with_role("regions"))
    changed = [name for name in names if getattr(then, name) != getattr(now, name)]
    alone = [name for name in changed if asked_for(now.model_copy(update={name: getattr(then, name)})) != asked]
    return alone or changed


def asked_for(config: RegionCapConfig) -> dict[str, Any]:
    """What decides which answers are asked for: the regions, how they are shown, and the words."""
    names = config.fields_with_role("regions", *(("marks", "words") if config.uses_model else ()))
    values = config.fields(tuple(name for name in names if config.applies(name))) | {"captioner": _captioned_by(config)}
    if config.extractor not in SCORED and not config.own_extractor:
        values["min_score"] = None
    if config.asks_for_regions:
        values["find_model"] = config.finder_model
    return {**values, **_words(config)} if config.uses_model else values


def _captioned_by(config: RegionCapConfig) -> str | bool:
    """Who is asked: a plugin, or (true) a model wherever it is served, or nobody."""
    return config.captioner if config.own_captioner else config.uses_model


def _words(config: RegionCapConfig) -> dict[str, Any]:
    """Those settings of `asked_for` whose value is not itself what the answers depend on."""
    prompts = config.templates_in_use()
    region_prompt = prompts.pop("region_prompt")
    named = {name for field, text in prompts.items() for name in template_names(text, field)}
    if "regions" in named:
        named |= set(template_names(region_prompt, "region_prompt"))
    return {
        "model": config.model_id or config.model,
        "model_id": None,
        "region_prompt": region_prompt if "regions" in named else None,
        "region_fields": sorted(named & set(config.region_fields)),
        "repair_flags": sorted(config.repair_flags),
    }


def _shown(config: RegionCapConfig, name: str) -> str:
    value = config.captioner_name if name == "captioner" else config.fields((name,))[name]
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
