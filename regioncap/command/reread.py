"""Stored replies of a run, read again with today's rules: no model is asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.records import Row, Shard
from regioncap.run.context import RunContext
from regioncap.storage.steps import StepDamaged, digest
from regioncap.tasks.answers import keys_of_answers
from regioncap.tasks.cached_answer import CachedAnswer, reading_rules
from regioncap.tasks.caption import CAPTION
from regioncap.tasks.shard import STEPS, made_steps


@dataclass
class Reread:
    """What became of the captions of a run: each number counts captions, but for the first two and last two."""

    answers: int = 0
    replies: int = 0
    same: int = 0
    changed: int = 0
    new: int = 0
    gone: int = 0
    completed: int = 0
    """Answers that lacked captions, and need no request any more."""
    unknown: int = 0
    """Rows whose answers are not known, since their marks are not drawn yet or not any more."""
    _seen: dict[str, bool] = field(default_factory=dict, repr=False)
    """Whether an answer changed, by its key: rows may share it."""

    def add(self, answer: CachedAnswer, wanted: tuple[int, ...]) -> bool:
        """Count an answer that was read again for the regions `wanted`; whether its captions changed."""
        before, now = answer.before or {}, answer.captions
        self.answers += 1
        self.replies += len(answer.replies)
        self.same += sum(now.get(number) == text for number, text in before.items())
        self.changed += sum(number in now and now[number] != text for number, text in before.items())
        self.new += sum(number not in before for number in now)
        self.gone += len(answer.outdated)
        self.completed += len(before) < len(wanted) == len(now)
        return now != before

    def lines(self) -> Iterator[str]:
        """The counts in words."""
        yield (
            f"{self.answers:,} answers with {self.replies:,} replies: {self.same:,} captions stay, {self.changed:,} "
            f"change, {self.new:,} are new, {self.gone:,} are gone"
        )
        if self.completed:
            yield f"{self.completed:,} answers that lacked captions are complete: they need no request any more"
        if self.gone:
            yield f"the {self.gone:,} that are gone will be requested again by the next run"


def reread(config: RegionCapConfig, *, dry_run: bool) -> Reread:
    """Read the stored replies of all rows of a run again, and store the result unless `dry_run`.

    The next run uses it. Raises UsageError for captions that no model gave, and UsageError and InputDamaged for the
    input, StorageError.
    """
    found = Reread()
    with contextlib.closing(RunContext(config)) as context:
        if reading_rules(context) is None:
            raise UsageError(
                f"captioner: {context.captioner.name} gives captions without a model's replies, so there is nothing to "
                "read again"
            )
        with contextlib.closing(context.answers):
            for shard in context.shards():
                _reread_shard(shard, context, found, dry_run)
    return found


def _reread_shard(shard: Shard, context: RunContext, found: Reread, dry_run: bool) -> None:
    drawn = made_steps(shard, context, STEPS[:-1])
    try:
        rows = context.storage.read(drawn[-1]) if drawn is not None else None
    except StepDamaged:
        rows = None
    if drawn is None or rows is None:
        found.unknown += len(shard.lines)
        return
    in_order = map if context.cache.is_local else context.threads.io.map
    changed = False
    for answers in in_order(lambda row: _answers_of(row, context), rows):
        for key, wanted, answer in answers:
            if key not in found._seen:
                found._seen[key] = found.add(answer, wanted)
                if answer.to_store and not dry_run:
                    answer.store(key, context)
            changed = changed or found._seen[key]
    if changed and not dry_run:
        # The captions in its file are those of before.
        context.storage.at(CAPTION.index).forget(digest(CAPTION.parts(context, drawn[-1])))


def _answers_of(row: Row, context: RunContext) -> list[tuple[str, tuple[int, ...], CachedAnswer]]:
    """(key, its regions, answer) of the answers of a drawn row that are in the cache, read again."""
    if "reject" in row:
        return []
    keys = keys_of_answers(row, context)
    found = [(key, wanted, CachedAnswer.find(key, wanted, context, reread=True)) for key, wanted in keys]
    return [each for each in found if each[-1].before is not None]
