"""What all tasks of a run share in one process: files, threads, the captioner, the stop flag and the counts."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from regioncap.captioners.allowance import ALL, NOTHING, HeldAllowance
from regioncap.captioners.base import Captioner, CaptionerOptions
from regioncap.captioners.region_model import make_region_model, settings_of_finder
from regioncap.config.model import RegionCapConfig
from regioncap.inputs.braces import expand
from regioncap.inputs.edits import Edits, read_edits
from regioncap.inputs.found_files import FoundInput, find_files
from regioncap.inputs.inline_images import images_apart
from regioncap.inputs.readers import (
    InputFile,
    input_files_of,
    input_root,
    region_fields_of,
    secret_addresses,
    shards_of,
)
from regioncap.records import Shard, Step
from regioncap.registry import make_captioner, make_finder
from regioncap.run.captioner import LazyCaptioner
from regioncap.run.credentials import access_of, filesystems_of
from regioncap.run.in_flight import InFlight
from regioncap.run.interrupts import Interrupts
from regioncap.run.kept import KeptCaptions
from regioncap.run.limits import left_of_limits
from regioncap.run.marks import MarkedPictures
from regioncap.run.plain_errors import plain_errors
from regioncap.run.progress import Progress
from regioncap.run.shard_run import ShardRuns
from regioncap.run.threads import RunThreads
from regioncap.storage.answers import Answers
from regioncap.storage.batch_records import BatchRecords
from regioncap.storage.bounded_read import reader_of
from regioncap.storage.claim_records import ClaimRecords
from regioncap.storage.claims import CLAIMS, Claims
from regioncap.storage.filesystem import Filesystems, Place
from regioncap.storage.holders import Holder
from regioncap.storage.images import ImageFiles
from regioncap.storage.journal import Journal, journal_folder
from regioncap.storage.leases import Lease
from regioncap.storage.remembered import RememberedSteps
from regioncap.storage.row_images import RowImages
from regioncap.storage.runs import beside, entry_place
from regioncap.storage.steps import STEP_NAMES, StepStorage, digest, library_versions
from regioncap.storage.urls import is_url
from regioncap.vision.libraries import image_libraries

if TYPE_CHECKING:
    from regioncap.vision.plugin_finder import PluginFinder

T = TypeVar("T")

REPORTED = "reported"
"""The attribute of a line of the log that was seen before: by the command, before Prefect was there to keep it."""


class RunContext:
    """Everything that the tasks of a process need for one config; see `regioncap.run.runs` for how they find it."""

    def __init__(self, config: RegionCapConfig, run: str = "", *, joined: bool = False) -> None:
        """`run`: the same for all processes of a run. `joined`: whether the run began in another process, which then
        allows this one what it may send."""
        self.config = config
        self.allowance = HeldAllowance(NOTHING if joined else ALL)
        self.files = filesystems_of(config)
        self.cache = self.files.place(config.cache_path)
        self.output = self.files.place(config.output)
        self.storage = StepStorage(
            config.cache_path, config.file_name_prefix, files=self.files, remembered=_remembered(config, self.cache)
        )
        self.row_images = RowImages(self.cache)
        self.images = _images_of(config, self.files, self.row_images)
        self.answers = Answers(self.cache.child("captions"), self._sees_other_runs)
        self.journal = Journal(journal_folder(self.cache))
        self.recovery = threading.Lock()
        """Held while it is looked for what killed runs left in their journals."""
        self.recovered = False
        self.in_flight = InFlight()
        self.shard_runs = ShardRuns()
        self.progress = Progress(config.prices, config.batch_price)
        self.threads = RunThreads(config.threads)
        self.marks = MarkedPictures(self.cache.child("marks"), keep=config.draw_visualization, pool=self.threads.io)
        self.images_note = ""
        """What was found out about how rows hold their images, and should be said, once it is known."""
        self.reported: set[str] = set()
        """What the run said before it sent anything."""
        self.stop = threading.Event()
        """Set when the run ends, in whichever way: every loop over rows looks at it."""
        self.asks_nobody = False
        """Whether no model may be asked for regions: only what is stored counts."""
        self.run_name = ""
        """What people call the run; "" where it has no name."""
        self.deployment = ""
        """The id of the deployment whose run this is; "" for a call."""
        self.lease: Lease | None = None
        """The lease on this run's output; None until the run needs it."""
        self.lease_lost = threading.Event()
        """Set when another run has taken over the output."""
        self.kept: KeptCaptions | None = None
        """What a rerun will find, once the run has stopped and that is counted."""
        self.how_to_resume = ""
        """The command line that resumes the run; "" where it was not started by a command."""
        self.interrupts = Interrupts()
        """Those that reached the process, where a command has begun the run."""
        self.prefect_lost = threading.Event()
        """Set when Prefect's server is gone: nothing more is shown there."""
        self.batch_records = BatchRecords(self.cache, ClaimRecords(self.cache.child(CLAIMS)))
        self.claims = Claims(
            self.cache, lambda: Holder.here(self.run_name), self.stop, group=run,
            pool=None if self.cache.is_local else self.threads.io, on_joined=self.answers.forget_listings,
            outliving=self.batch_records.outliving,
        )  # fmt: skip
        self.lazy_captioner = LazyCaptioner(self._make_captioner, self.stop)
        self.lazy_finder = LazyCaptioner(self._make_region_model, self.stop)
        """Used only where another model is asked for regions than for captions."""
        self.cached_shards: dict[str, tuple[Step, ...]] = {}
        """The steps of shards that the preflight found done, by the key of their input, for the run not to check them
        again."""
        self.all_cached: list[tuple[tuple[Step, ...], float]] | None = None
        """Where the preflight found all shards done: the steps of each, and which share of the input it is; the run
        need not read the input once more."""
        self.sample: Sequence[Shard] | None = None
        """The shards to use instead of the input's: of a sample that several contexts share."""
        self._made: dict[Callable[[RunContext], Any], Any] = {}
        self._making = threading.RLock()
        self._until_closed = contextlib.ExitStack()
        for change in (image_libraries, plain_errors):
            self._until_closed.enter_context(change)

    def _sees_other_runs(self) -> bool:
        # Other processes of the same run make no claims against each other.
        return self.config.runner == "threads" and self.claims.sees_others

    @property
    def captioner(self) -> Captioner:
        """The one captioner of this process. Raises what `LazyCaptioner.get` raises."""
        return self.lazy_captioner.get()

    @property
    def region_model(self) -> Captioner:
        """What asks a model for regions, in this process. Raises what `LazyCaptioner.get` raises."""
        return (self.lazy_finder if self.config.finds_apart else self.lazy_captioner).get()

    @cached_property
    def mark_settings(self) -> dict[str, Any]:
        """The settings that decide how marks are drawn, by name: part of every answer's key."""
        return self.config.values_read_by("drawing")

    @cached_property
    def finder(self) -> PluginFinder | None:
        """The region finder that is the user's own, if the config names one. Raises UsageError."""
        return make_finder(self.config)

    @cached_property
    def edits(self) -> Edits:
        """People's corrections; none if the config names no file of them. Raises what `read_edits` raises."""
        return read_edits(self.files.place(self.config.edits)) if self.config.edits else Edits()

    def _make_captioner(self) -> Captioner:
        config = left_of_limits(self.config, self.progress.bill())  # an earlier one may have been closed
        return make_captioner(
            CaptionerOptions(config, lambda: access_of(self.config), self.progress.add, self.cache, self.allowance)
        )

    def _make_region_model(self) -> Captioner:
        config = settings_of_finder(left_of_limits(self.config, self.progress.bill()))
        options = CaptionerOptions(config, lambda: access_of(config), self.progress.add, self.cache, self.allowance)
        return make_region_model(options, self.captioner)

    def close_captioner(self) -> None:
        """Close what asks models, if it was made; while the run goes on, another is made when needed."""
        self.lazy_finder.close()
        self.lazy_captioner.close()

    def drain_captioner(self) -> None:
        """Send no more requests; returns when those in flight have come back and are kept."""
        self.lazy_finder.drain()
        self.lazy_captioner.drain()

    def shards(self) -> Generator[Shard]:
        """The input's shards, from the first on, with the images that rows hold apart; its files are listed once.
        Raises what `read_shards` raises."""
        if self.sample is not None:
            yield from self.sample
            return
        with contextlib.closing(shards_of(self._input_files, self.config)) as shards:
            for shard in shards:
                shard, base64_rows = images_apart(shard, self.config.image_key)
                if base64_rows and not self.images_note:
                    self.images_note = (
                        f"{self.config.image_key}: {base64_rows:,} of {len(shard.lines):,} rows at the beginning hold "
                        "their image as base64 text"
                    )
                yield shard

    @cached_property
    def _input_files(self) -> list[InputFile]:
        return input_files_of(self.found, self.config)

    @cached_property
    def found(self) -> FoundInput:
        """The files that the input consists of. Raises what `find_files` raises."""
        return find_files(self.config, self.files)

    @cached_property
    def captioned_before(self) -> bool:
        """Whether an earlier run captioned shards of this cache. The first use must come before the run's own."""
        return self.storage.at(STEP_NAMES.index("caption")).folder.is_folder()

    def stop_sending(self) -> None:
        """Start nothing more and send no more requests; what is in flight is not waited for."""
        self.stop.set()
        self.images.stop_reading()
        self.lazy_finder.stop_sending()
        self.lazy_captioner.stop_sending()

    def once(self, make: Callable[[RunContext], T]) -> T:
        """What `make` makes of this run, once a process: for layers above that keep something while the run lasts."""
        with self._making:
            if make not in self._made:
                self._made[make] = make(self)
        made: T = self._made[make]
        return made

    def when_closed(self, callback: Callable[[], object]) -> None:
        """Have `callback` called when the run is closed."""
        self._until_closed.callback(callback)

    def close(self) -> None:
        """Close the captioner, the threads and open files, and let the output go; what is in flight is stopped."""
        self.stop.set()
        self.close_captioner()
        self.journal.close()
        self.claims.close()
        self.threads.close()
        self.images.close()
        if self.lease is not None:
            self.lease.release()
        self._until_closed.close()


def _remembered(config: RegionCapConfig, cache: Place) -> RememberedSteps:
    if cache.is_local:
        return RememberedSteps()
    entry = entry_place(cache, config.file_name_prefix, config.output)
    which_images = {
        "version": library_versions()["regioncap"], "input": config.input, "image_key": config.image_key,
        "image_root": config.image_root, "image_check": config.image_check, "allowed_images": config.allowed_images,
    }  # fmt: skip
    return RememberedSteps(beside(entry, "steps"), digest(which_images))


def _images_of(config: RegionCapConfig, files: Filesystems, row_images: RowImages) -> ImageFiles:
    # Of an input beyond a network all of its store is allowed: which folder of it need not be asked for.
    folder = config.input if config.image_root and is_url(config.input) else input_root(config, files)
    root = config.image_root or folder
    reader = reader_of(config, files, [root, folder, *_folders_in_braces(config.input)])
    return ImageFiles(root, files, reader, secret=secret_addresses(config), row_images=row_images)


def _folders_in_braces(source: str) -> list[str]:
    """The folders of an input that names several files by braces: they may lie in different stores."""
    names = expand(source)
    return [] if names == [source] else list(dict.fromkeys(name.rpartition("/")[0] for name in names))


def completed(config: RegionCapConfig) -> RegionCapConfig:
    """`config` with the region fields that its input brings by its form. Raises UsageError for a wrong input."""
    fields = region_fields_of(config, filesystems_of(config))
    return config if fields == config.region_fields else config.model_copy(update={"region_fields": fields})
