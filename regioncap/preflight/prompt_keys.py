"""Whether the prompts fit the rows: looked at before anything runs, so that a misspelt key costs nothing."""

from __future__ import annotations

import contextlib
import difflib
import itertools
from collections.abc import Generator

from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.records import Shard, loads

ROWS_TO_LOOK_AT = 100


def check_prompt_keys(config: RegionCapConfig, shards: Generator[Shard]) -> None:
    """Raises UsageError when none of the first rows of `shards` has a key that the prompts name. Closes `shards`."""
    wanted = [*config.prompt_fields(), *config.region_fields]
    if not wanted:
        return
    there: dict[str, None] = {}
    with contextlib.closing(shards):
        lines = itertools.chain.from_iterable(shard.lines for shard in shards)
        for _, text in itertools.islice(lines, ROWS_TO_LOOK_AT):
            with contextlib.suppress(ValueError):
                row = loads(text)
                there.update(dict.fromkeys(row if isinstance(row, dict) else ()))
    for key in wanted:
        if there and key not in there:
            near = difflib.get_close_matches(key, there, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"their keys: {', '.join(list(there)[:12])}"
            raise UsageError(f"prompt: none of the first rows has the key {key!r}; {hint}")
