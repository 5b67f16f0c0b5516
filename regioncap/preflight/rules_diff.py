"""Captions that better rules no longer accept, although they were accepted when they came."""

from __future__ import annotations

from regioncap.config.model import RegionCapConfig
from regioncap.errors import SettingsChanged
from regioncap.preflight.plan import Plan
from regioncap.preflight.settings_diff import refuses
from regioncap.storage.urls import redact_url


def check_rules(planned: Plan, config: RegionCapConfig, *, deployed: bool = False) -> str:
    """How many captions will be requested again because of today's rules, in words; "" if none.

    `deployed`: nobody is watching. Raises SettingsChanged if they may not be.
    """
    found = planned.outdated_in_words
    if found and refuses(config, deployed=deployed):
        raise SettingsChanged(
            f"on_config_change: {found}, and would be requested again. Set on_config_change=recaption to request them "
            f"(`regioncap reread {redact_url(config.output)} --dry-run` counts them), or go on with the version of "
            "RegionCap that accepted them."
        )
    return found and f"{found} and will be requested again"
