"""Everything that RegionCap raises on purpose.

    RegionCapError
    ├── UsageError               the call itself is wrong: exit code 2
    │   ├── ConfigError          one config value is wrong: field, expected, actual
    │   └── SettingsChanged      the output's last run had other settings, and on_config_change=refuse
    ├── RowReject                one row cannot be captioned: it goes to the rejects file, the others continue
    └── RunStopped               the run cannot continue: exit code 1, an earlier output stays as it was
        ├── Stopped              Ctrl-C, a cancelled flow run, or a failure elsewhere
        ├── InputDamaged         the input's container (gzip, Parquet, JSON array) is broken
        ├── OutputInUse          another run writes this output
        ├── StorageError         a file or folder cannot be read or written
        ├── CaptionerError       the captioner cannot work at all (no server, a refusal of every request)
        ├── PluginError          code of the user's own failed at work that is no row's
        ├── PrefectLost          the Prefect server does not answer any more
        ├── WorkersLost          the cluster that processes the shards is gone
        ├── BudgetReached        max_requests or max_usd is reached
        ├── Waiting              batches or files are not answered, and batch_wait is over: exit code 75
        ├── RowsFailAlike        the first rows all fail for one reason
        └── AccountingError      rows or boxes do not add up: a bug in RegionCap

Every class pickles with its fields, since Prefect and Dask send exceptions between processes; every
message ends with what the reader can do.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

FinalCode = Literal[
    "bad_json",
    "bad_row",
    "bad_bbox",
    "no_boxes",
    "no_valid_boxes",
    "no_regions",
    "image_missing",
    "image_unreadable",
    "image_too_large",
    "image_refused",
]
RetryableCode = Literal["image_unavailable", "caption_failed", "captions_incomplete", "internal_error"]
RejectCode = FinalCode | RetryableCode

RETRYABLE_CODES: frozenset[str] = frozenset(get_args(RetryableCode))
"""Codes that a later run may resolve: a step with one of these is not done, and runs again."""

MAX_ACTUAL_CHARS = 200
"""What a message shows of a wrong value."""


class RegionCapError(Exception):
    """Root of the tree; catch it to catch everything that is not a bug."""


class UsageError(RegionCapError):
    """The call is wrong: a flag, a path, a combination. Nothing was run."""


class ConfigError(UsageError):
    """One config value is wrong.

    Attributes: `field`, `expected` (what would be right, in words), `actual` (the value that was given).
    """

    def __init__(self, field: str, expected: str, actual: Any) -> None:
        super().__init__(field, expected, actual)
        self.field = field
        self.expected = expected
        self.actual = actual

    def __str__(self) -> str:
        actual = repr(self.actual)
        shown = actual if len(actual) <= MAX_ACTUAL_CHARS else f"{actual[:MAX_ACTUAL_CHARS]}…"
        return f"{self.field}: expected {self.expected}, got {shown}"


class SettingsChanged(UsageError):
    """The run would request captions again that there are, which `on_config_change` does not allow.

    Attributes: `message`; `earlier`, the config with the settings that those captions were made with, None where the
    settings are the same.
    """

    def __init__(self, message: str, earlier: Any = None) -> None:
        super().__init__(message, earlier)
        self.message = message
        self.earlier = earlier

    def __str__(self) -> str:
        return self.message


class RowReject(RegionCapError):
    """One row cannot be captioned.

    Attributes: `code`, one of `RejectCode`; `message`, which names what was found and what would be right.
    """

    def __init__(self, code: RejectCode, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class RunStopped(RegionCapError):
    """The run stops here; what is done is kept, and a rerun with the same settings resumes it."""


class Stopped(RunStopped):
    """The run was asked to stop (Ctrl-C, a cancelled flow run, a failure elsewhere)."""

    def __str__(self) -> str:
        return "stopped; what is done is kept, and a rerun resumes it"


class InputDamaged(RunStopped):
    """The input's container is broken. Attributes: `url`, `place` (line or byte), `reason`."""

    def __init__(self, url: str, place: str, reason: str) -> None:
        super().__init__(url, place, reason)
        self.url = url
        self.place = place
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.url} is damaged at {self.place}: {self.reason}. No output was written. Replace the file, or stop "
            "before that place with limit=, and rerun; it resumes."
        )


class StorageError(RunStopped):
    """A file or folder cannot be read or written. Attributes: `url` (without secrets), `doing`, `reason`."""

    def __init__(self, url: str, doing: str, reason: str) -> None:
        super().__init__(url, doing, reason)
        self.url = url
        self.doing = doing
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot {self.doing} {self.url}: {self.reason}. Fix this and rerun; it resumes."


class OutputInUse(RunStopped):
    """Another run writes this output. Attributes: `output` (without secrets), `holder`, in words, `lost`: whether this
    run had the output first, and was not heard of for so long that the other took it over."""

    def __init__(self, output: str, holder: str, lost: bool = False) -> None:
        super().__init__(output, holder, lost)
        self.output = output
        self.holder = holder
        self.lost = lost

    def __str__(self) -> str:
        if self.lost:
            return (
                f"{self.output}: another run has taken over this output, since this one was not heard of for a minute: "
                "its machine slept, or could not reach the store. The output was not touched, and all captions that "
                "came are kept. When the other run has ended, rerun; it resumes."
            )
        return (
            f"{self.output}: another run is writing this output: {self.holder}. Nothing was asked for or changed. Wait "
            "until that run has ended and rerun, or choose another output."
        )


class CaptionerError(RunStopped):
    """No row can be captioned: no server, a refused key, a model that does not exist."""


class PluginError(RunStopped):
    """Code of the user's own, such as an export, failed at work that is no row's."""


class WorkersLost(RunStopped):
    """The cluster's processes that work on the shards are gone, or shards make them crash."""


class PrefectLost(RunStopped):
    """The Prefect server that keeps the run's states does not answer any more."""

    def __str__(self) -> str:
        return (
            "Prefect's server does not answer any more, so the run stops. All captions that came are kept: start the "
            "server and rerun; it resumes."
        )


class BudgetReached(RunStopped):
    """`max_requests` or `max_usd` is reached."""


class Waiting(RunStopped):
    """The run has stayed as long as it may, and answers are still to come, from a provider's batches or in files: a
    rerun goes on with them. Attributes: `progress`, how far they are, in words; `how`, what is to be done."""

    def __init__(
        self,
        progress: str,
        how: str = "The batches go on without this run; rerun later, and it collects them.",
    ) -> None:
        super().__init__(progress, how)
        self.progress = progress
        self.how = how

    def __str__(self) -> str:
        return f"waiting: {self.progress}. {self.how}"


class RowsFailAlike(RunStopped):
    """The first rows were all rejected for one reason, so the rest would be too."""


class AccountingError(RunStopped):
    """Rows or boxes went missing between input and output: a bug in RegionCap; the output was not written."""
