"""An answer as it is in the cache, read by today's rules."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from regioncap.captioners.base import CaptionResult
from regioncap.captioners.chat import REGIONS, Ending
from regioncap.captioners.reading.parsing import RULES_VERSION
from regioncap.captioners.replies import read_again
from regioncap.captioners.vlm import VlmCaptioner
from regioncap.config.model import RegionCapConfig
from regioncap.records import Row, shorten
from regioncap.run.context import RunContext
from regioncap.storage.steps import Manifest, digest

MAX_FAILED_RUNS = 3
"""A row that the model failed (refused, never completed) in this many runs is put on hold."""


UNACCEPTED = (Ending.ABSENT.value, Ending.UNKNOWN.value, Ending.FAILED.value)
"""How a reply may have ended that counts as complete once `accept_finish_reasons` has its word."""


def reading_rules(context: RunContext) -> int | None:
    """The version of the rules that replies become captions by; None for a captioner that gives captions as such."""
    return RULES_VERSION if isinstance(context.captioner, VlmCaptioner) else None


def retry_settings_key(context: RunContext) -> str:
    """A digest of the settings that are in no other key, but may let a row succeed that failed.

    When they change, rows on hold are requested again.
    """
    return digest(context.config.values_with_role("effort"))


def put_on_hold(reject: Row, context: RunContext) -> Row:
    """A reject whose row is requested again only with other settings: the model failed it too often."""
    return {**reject, "reject": {**reject["reject"], "rests": retry_settings_key(context)}}


def still_on_hold(context: RunContext, manifest: Manifest, read: Callable[[], list[Row]]) -> bool:
    """Whether no row of a cached step that is on hold is to be requested again."""
    if not manifest.rejects:
        return True
    settings = retry_settings_key(context)
    held_with = [row["reject"]["rests"] for row in read() if "rests" in row.get("reject", ())]
    return not held_with or (not context.config.retry_rejects and set(held_with) == {settings})


@dataclass(frozen=True)
class CachedAnswer:
    """What is stored of an answer: `captions` by region number, what they cost, and the `replies` as stored."""

    captions: dict[int, str] = field(default_factory=dict)
    usage: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    replies: list[dict[str, Any]] = field(default_factory=list)
    failed_runs: int = 0
    """Runs with the same retry settings that requested the rest, and the model failed it."""
    failure: str = ""
    """How the last of them failed."""
    before: dict[int, str] | None = None
    """The captions as stored, if today's rules were applied to them just now."""

    @property
    def outdated(self) -> list[int]:
        """Regions that have a stored caption which today's rules no longer accept; it is not in `captions`."""
        return [number for number in self.before or () if number not in self.captions]

    @property
    def cut(self) -> bool:
        """Whether what a model said of a picture's regions ended at its limit."""
        said = [reply for reply in self.replies if reply.get("mode") == REGIONS and reply["text"].strip()]
        return bool(said) and said[0]["ended"] == Ending.CUT.value

    @property
    def to_store(self) -> bool:
        """Whether its replies were read again just now, which need not be done twice.

        Without replies, an outdated caption could not be had back: it stays stored until there is a better one.
        """
        return self.before is not None and bool(self.replies)

    @classmethod
    def find(
        cls, key: str, wanted: Sequence[int], context: RunContext, *, reread: bool = False, fresh: bool = False
    ) -> CachedAnswer:
        """The answer stored under `key`, for the regions `wanted`; an empty one if there is none or it is damaged.
        `fresh`: also one that another run stored meanwhile.

        Its replies are read again if that was done by other rules, if more of them count as complete now, or if
        `reread`.
        """
        found = context.answers.get(key, fresh=fresh)
        if found is None:
            return cls()
        try:
            answer = cls._of(found, wanted, context)
            rules = reading_rules(context)
            accepted = context.config.accept_finish_reasons
            same = found.get("rules") == rules and not answer._gains_from(accepted, wanted)
            if rules is None or (same and not reread):
                return answer
            captions = read_again(answer.captions, answer.replies, accepted)
            return replace(answer, captions=captions, before=answer.captions)
        except (KeyError, TypeError, AttributeError):
            context.answers.report_damage(key, "its replies are not of the expected form")
        except ValueError as error:
            context.answers.report_damage(key, str(error))
        return cls()

    @classmethod
    def _of(cls, found: dict[str, Any], wanted: Sequence[int], context: RunContext) -> CachedAnswer:
        captions = {int(number): text for number, text in found["captions"].items()}
        if not captions.keys() <= set(wanted):
            raise ValueError(f"it has captions for {shorten(sorted(captions))}, but the row has {len(wanted)} regions")
        failed = found.get("failed", {})
        failed_runs = failed.get("strikes", 0) if failed.get("effort") == retry_settings_key(context) else 0
        return cls(
            captions, found.get("usage", {}), found.get("warnings", []), found.get("replies", []), failed_runs,
            failed.get("message", ""),
        )  # fmt: skip

    def _gains_from(self, accepted_words: Collection[str], wanted: Sequence[int]) -> bool:
        """Whether captions are missing, and a reply counts as complete now that did not when it came."""
        return len(self.captions) < len(wanted) and any(
            reply["finish"].casefold() in accepted_words and reply["ended"] in UNACCEPTED for reply in self.replies
        )

    def store(self, key: str, context: RunContext, model: str | None = None) -> None:
        """Store it under `key`, in place of what is there. `model`: who gave it; None for this run's."""
        answer: dict[str, Any] = {
            "captions": {str(number): self.captions[number] for number in sorted(self.captions)},
            "usage": self.usage,
            "model": context.captioner.model if model is None else model,
        }
        if self.warnings:
            answer["warnings"] = self.warnings
        if self.failed_runs:
            answer["failed"] = {
                "strikes": self.failed_runs,
                "effort": retry_settings_key(context),
                "message": self.failure,
            }
        if self.replies:
            answer["replies"] = self.replies
        rules = reading_rules(context)
        context.answers.put(key, answer if rules is None else {**answer, "rules": rules})

    def on_hold(self, config: RegionCapConfig) -> bool:
        """Whether the model failed too often for the rest to be requested again."""
        return self.failed_runs >= MAX_FAILED_RUNS and not config.retry_rejects

    def held_back(self) -> CaptionResult:
        """The result of an answer that is on hold: what there is, and why the rest is not requested."""
        message = (
            f"asked in vain in {self.failed_runs} runs ({self.failure}); rests until other settings, or retry_rejects"
        )
        return CaptionResult(self.captions, self.usage, self.warnings, "captions_incomplete", message, on_hold=True)
