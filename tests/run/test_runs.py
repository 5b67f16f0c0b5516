"""How tasks find their run, and how its one captioner comes and goes."""

from __future__ import annotations

import threading
from contextvars import copy_context
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import pytest

from regioncap.captioners.base import CaptionerOptions
from regioncap.captioners.pixels import PixelsCaptioner
from regioncap.config.model import RegionCapConfig
from regioncap.errors import Stopped
from regioncap.flows.region_caption import region_caption
from regioncap.process import no_telemetry
from regioncap.run.captioner import LazyCaptioner
from regioncap.run.plain_errors import plain_errors
from regioncap.run.runs import RUNS, Runs
from regioncap.tasks.shard import caption_shard
from tests.support.runs import config_of


@pytest.fixture
def config(tmp_path: Path) -> RegionCapConfig:
    (tmp_path / "photos.jsonl").touch()
    return config_of(tmp_path)


def test_all_tasks_of_a_run_have_one_context(config: RegionCapConfig) -> None:
    runs = Runs()
    with runs.enter():
        context = runs.context(config)
        assert runs.context(config.model_copy()) is context, "the config travels as a copy"
        with runs.enter():
            assert runs.find(config) is context, "who is in a run already stays in it"
        assert copy_context().run(runs.find, config) is context
        runs.close(config)
    assert len(runs) == 0


def test_runs_with_the_same_config_share_nothing(config: RegionCapConfig) -> None:
    runs = Runs()
    with runs.enter("first"):
        first = runs.context(config)
    with runs.enter("second"):
        assert runs.find(config) is None
        assert runs.context(config) is not first
        runs.close(config)
    with runs.enter("first"):
        assert runs.context(config) is first
        assert not first.stop.is_set()
        runs.close(config)


def test_what_is_under_way_in_a_closed_run_finds_no_context_again(config: RegionCapConfig) -> None:
    runs = Runs()
    with runs.enter():
        context = runs.context(config)
        runs.close(config)
        assert context.stop.is_set()
        assert runs.find(config) is None
        with pytest.raises(Stopped):
            runs.context(config)


def test_a_captioner_is_made_once_and_only_when_needed(config: RegionCapConfig) -> None:
    made: list[PixelsCaptioner] = []

    def make() -> PixelsCaptioner:
        made.append(PixelsCaptioner(CaptionerOptions(config)))
        return made[-1]

    captioner = LazyCaptioner(make, threading.Event())
    captioner.stop_sending()
    captioner.drain()
    captioner.close()
    assert made == []
    assert captioner.get() is captioner.get() is made[0]
    captioner.close()
    assert captioner.get() is made[1], "another one, as the run goes on"
    captioner.close()
    assert len(made) == 2


def test_no_captioner_is_made_for_a_run_that_ended(config: RegionCapConfig) -> None:
    stop = threading.Event()
    captioner = LazyCaptioner(lambda: PixelsCaptioner(CaptionerOptions(config)), stop)
    stop.set()
    with pytest.raises(Stopped):
        captioner.get()


@pytest.mark.parametrize("sent", [region_caption, caption_shard], ids=["flow", "task"])
def test_flow_and_tasks_travel_to_a_cluster(sent: Any) -> None:
    assert cloudpickle.loads(cloudpickle.dumps(sent)).name == sent.name


@pytest.mark.parametrize("of_process", [RUNS, no_telemetry, plain_errors])
def test_what_belongs_to_a_process_travels_by_name(of_process: object) -> None:
    assert cloudpickle.loads(cloudpickle.dumps(of_process)) is of_process
