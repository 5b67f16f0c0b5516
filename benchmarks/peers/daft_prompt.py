"""Daft: a function of ours for the pixels, its `prompt` for the requests.

`into_batches` lets the first pictures be asked about while others are drawn (all rows are one batch otherwise). What
`prompt` takes as `concurrency` are batches beside one more, whose rows are all under way: with batches of one row the
server had 37 requests, with larger ones the slots of a batch are empty until its last row is through. Nothing is
kept of a run that was stopped: checkpoints of Daft 0.7 are refused by its own runner, they need Ray's.
"""

from __future__ import annotations

from typing import Any

import daft
import job
from daft import DataType, col
from daft.ai.openai.provider import OpenAIProvider
from daft.functions import prompt

BATCH = 1
DRAWN = DataType.struct({"jpeg": DataType.binary(), "question": DataType.string()})


@daft.func(return_dtype=DRAWN)
def draw(image: str, bbox: list[list[float]] | None) -> dict[str, Any] | None:
    """The marked picture and the question; None where there is no region."""
    found = job.draw(image, bbox)
    return None if found is None else {"jpeg": found[0], "question": found[1]}


if __name__ == "__main__":
    listing, folder, url = job.arguments()
    provider = OpenAIProvider(name="server", base_url=url, api_key="none")
    begun = job.now()
    answer = prompt(
        [col("drawn")["jpeg"], col("drawn")["question"]],
        system_message=job.SYSTEM,
        provider=provider,
        model=job.MODEL,
        use_chat_completions=True,
        concurrency=job.IN_FLIGHT // BATCH - 1,
        **job.SAMPLING,
    )
    rows = daft.from_pylist([{"bbox": None, **row} for row in job.rows_of(listing)]).into_batches(BATCH)
    rows = rows.with_column("drawn", draw(col("image"), col("bbox"))).where(col("drawn").not_null())
    rows.with_column("answer", answer).select("n", "answer").write_json(str(folder / "out"), write_mode="overwrite")
    job.say(begun=begun, ended=job.now())
