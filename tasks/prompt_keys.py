"""Whether the prompts fit the rows: looked at before anything runs, so that a misspelt key costs nothing."""

from __future__ import annotations

import contextlib
import difflib
import itertools

from tasks.config import RegionCapConfig
from tasks.errors import UsageError
from tasks.records import loads
from tasks.storage.filesystem import Filesystems
from tasks.storage.readers import read_shards

ROWS_TO_LOOK_AT = 100


def check_prompt_keys(config: RegionCapConfig, files: Filesystems) -> None:
    """Raises UsageError when none of the first rows has a key that the prompts name."""
    wanted = [*config.prompt_fields(), *config.region_fields]
    if not wanted:
        return
    there: dict[str, None] = {}
    with contextlib.closing(read_shards(config, files)) as shards:
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
