"""How tasks find their run, and how its one captioner comes and goes."""

from __future__ import annotations

import threading
from contextvars import copy_context
from pathlib import Path

import cloudpickle  # type: ignore[import-untyped]
import pytest

from regioncap.captioners.base import CaptionerOptions
from regioncap.captioners.pixels import PixelsCaptioner
from regioncap.config.model import RegionCapConfig
from regioncap.errors import Stopped
from regioncap.run.captioner import LazyCaptioner
from regioncap.run.runs import Runs
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


def test_the_task_of_a_shard_travels_and_leaves_the_runs_of_its_process_behind() -> None:
    sent = cloudpickle.loads(cloudpickle.dumps(caption_shard))
    assert "RUNS" not in sent.fn.__globals__
    assert (sent.name, sent.task_run_name) == (caption_shard.name, caption_shard.task_run_name)
