"""What a run will ask a model about the regions of pictures: which, nobody knows before the images are read."""

from __future__ import annotations

from regioncap.captioners.budget import text_tokens
from regioncap.captioners.row_requests import any_values
from regioncap.config.model import RegionCapConfig
from regioncap.records import Shard
from regioncap.run.context import RunContext
from regioncap.tasks.extract import EXTRACT
from regioncap.tasks.load import LOAD
from regioncap.tasks.region_questions import question_of
from regioncap.tasks.route import ROUTE
from regioncap.tasks.shard import find_cached_steps

TOKENS_PER_BOX = 30
"""Of an answer, for each region: `{"bbox_2d": [123, 234, 345, 456], "label": "dog"}`, as Qwen2.5-VL's tokenizer counts
it."""


def needs_questions(shard: Shard, context: RunContext) -> bool:
    """Whether a model may have to be asked about rows of a shard that bring no boxes."""
    return context.config.asks_for_regions and find_cached_steps(shard, context, (LOAD, ROUTE, EXTRACT)) is None


def tokens_of_question(config: RegionCapConfig) -> tuple[float, float]:
    """About how many tokens the text of a question for regions has, and its answer, which names `max_boxes` regions."""
    question = question_of(config, any_values(config.keys_in_question(), "some words"))
    return float(text_tokens(question.text)), float(TOKENS_PER_BOX * config.max_boxes)
