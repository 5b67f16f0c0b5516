"""A step reads no setting that is not in its key: else a changed setting would leave old rows in place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.config.model import RegionCapConfig
from regioncap.records import Shard, Step, dumps
from regioncap.run.context import RunContext
from regioncap.tasks.shard import STEPS, keep_input
from tests.support.photos import write_photo
from tests.support.rows import BOX
from tests.support.runs import config_of

ROWS: list[dict[str, Any]] = [
    {"image": "a.png", "boxes": [BOX, [60, 10, 20, 20]], "label": ["cat", "dog"], "conf": [0.1, 0.9], "place": "zoo"},
    {"image": "b.png", "label": [], "place": "zoo"},
]
SETTINGS: dict[str, Any] = {
    "bbox_key": "boxes", "region_fields": ["label"], "prompt": "In {place}: {regions}",
    "region_prompt": "<region{n}> ({label})", "box_order": "score", "score_key": "conf", "max_pixels": 40_000,
}  # fmt: skip

_reads: set[str] = set()


class RecordingConfig(RegionCapConfig):
    """A config that puts on record which of its fields are read."""

    def __getattribute__(self, name: str) -> Any:
        if name in RegionCapConfig.model_fields:
            _reads.add(name)
        return super().__getattribute__(name)

    def fields(self, names: tuple[str, ...]) -> dict[str, Any]:
        _reads.update(names)
        return super().fields(names)


def roles(*names: Any) -> set[str]:
    return set(RegionCapConfig.fields_with_role(*names))


def read_by(*readers: Any) -> set[str]:
    return {name for reader in readers for name in RegionCapConfig.fields_read_by(reader)}


EXCEPTIONS: dict[str, set[str]] = {
    # Draws found regions at once, so that the picture is decoded once; `normalize` and `visualize` take the result
    # under their own keys.
    "extract": read_by("normalize", "visualize") | {"region_fields", "captioner", "endpoint", "model"},
    # Effort, limits and places decide whether an answer comes, not which; marks are in the rows that the step reads; of
    # the prompts those in use are in the key; `max_boxes` is the size of the request that tries the server out;
    # `draw_visualization` says where a marked picture lies, which is the same wherever it does. Which captioner and
    # model answer is in the identity that the captioner gives.
    "caption": roles("effort", "limits", "place", "marks")
    | read_by("templates")
    | {"max_boxes", "draw_visualization", "captioner", "model", "model_id"},
}


@contextmanager
def recorded(config: RegionCapConfig) -> Iterator[RunContext]:
    made = RecordingConfig.model_validate(config.model_dump())
    with closing(RunContext(made)) as context:
        _reads.clear()
        yield context


def reads_of_keys(config: RegionCapConfig, step: Step) -> dict[str, set[str]]:
    """By step, the settings that its key is made of."""
    found: dict[str, set[str]] = {}
    for spec in STEPS:
        with recorded(config) as context:
            context.captioner  # noqa: B018 - what making it reads is not in the key
            _reads.clear()
            parts = spec.parts(context, step)
            # What was read when the captioner was made is in its identity, under its own name.
            fields: dict[str, Any] = parts["fields"]
            made = {
                name for name in fields.keys() & RegionCapConfig.model_fields if fields[name] == getattr(config, name)
            }
            found[spec.name] = _reads | made
    return found


def reads_of_bodies(config: RegionCapConfig) -> dict[str, set[str]]:
    """By step, the settings that it reads to make its rows."""
    found: dict[str, set[str]] = {}
    lines = [(number, dumps(row)) for number, row in enumerate(ROWS, 1)]
    with recorded(config) as context:
        step = keep_input(Shard(0, "", lines, 1.0), context)
        for spec in STEPS:
            _reads.clear()
            rows = spec.body(context, step)
            found[spec.name] = set(_reads)
            assert not [row["reject"] for row in rows if "reject" in row]
            step = context.storage.at(spec.index).write(spec.parts(context, step), rows, 0.0).reference(0)
    return found


@pytest.fixture(params=["pixels", "model"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RegionCapConfig]:
    for name, seed in (("a.png", 1), ("b.png", 2)):
        write_photo(tmp_path / name, seed)
    (tmp_path / "photos.jsonl").touch()
    if request.param == "pixels":
        yield config_of(tmp_path, **SETTINGS)
        return
    with RunningServer(Behaviour(latency=0.0)) as server:
        more: dict[str, Any] = {
            "captioner": "openai", "model": "fake-vlm", "endpoint": [server.url], "prompt_mode": "auto",
            "request_body": {"min_p": 0.1},  # in the key where it is set
        }  # fmt: skip
        yield config_of(tmp_path, **SETTINGS, **more, repair_flags=["refusal"], max_boxes=12)


def test_a_step_reads_only_settings_that_are_in_its_key(config: RegionCapConfig) -> None:
    keys = reads_of_keys(config, Step(0, 0, "k", "a" * 64, 2, 0))
    bodies = reads_of_bodies(config)
    unkeyed = {name: bodies[name] - keys[name] - EXCEPTIONS.get(name, set()) for name in bodies}
    assert unkeyed == {name: set() for name in bodies}
    assert all(bodies[spec.name] for spec in STEPS)
