"""Prefect's settings while a call runs."""

from __future__ import annotations

from prefect.settings import get_current_settings, temporary_settings

from regioncap.flows.self_contained import settings_of_calls


def heartbeat() -> int | None:
    return get_current_settings().flows.heartbeat_frequency


def test_a_call_sends_no_heartbeats_unless_asked_to() -> None:
    outside = heartbeat()
    with settings_of_calls():
        assert heartbeat() is None
    assert heartbeat() == outside
    with temporary_settings({"flows.heartbeat_frequency": 60}), settings_of_calls():
        assert heartbeat() == 60
