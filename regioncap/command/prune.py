"""What no run needs any more in a cache: step files, images that rows held, tar indexes, trials of servers, what killed
runs left and, on demand, marked pictures and answers.

Step files cost processor time to make again, and images and indexes come from the input again; answers were paid for,
and outputs name marked pictures, so these are removed only on demand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from regioncap.command.needed import Needed
from regioncap.command.registered_runs import Register
from regioncap.errors import UsageError
from regioncap.storage.cache_folder import (
    ANSWERS,
    MARKS,
    PROBES,
    ROW_IMAGES,
    TAR_INDEXES,
    TRIALS,
    CacheFile,
    CacheFolder,
    Kind,
    step_files,
)
from regioncap.storage.filesystem import Place
from regioncap.storage.runs import beside

NOT_KNOWN = "all are kept, since an input or step file that a run was made with is not there"


@dataclass
class Unneeded:
    """Files of one kind that no registered run needs. `seen`: how many files of that kind there are. `note`: why
    nothing is known to be unneeded."""

    kind: str
    seen: int = 0
    files: list[CacheFile] = field(default_factory=list)
    note: str = ""

    @property
    def bytes(self) -> int:
        """Size of the unneeded files."""
        return sum(file.item.size for file in self.files)

    def keep(self, needed: Set[str]) -> None:
        """Leave out the files with these names."""
        self.files = [file for file in self.files if file.stem not in needed]

    def remove(self) -> None:
        """Delete the files."""
        with ThreadPoolExecutor(16) as pool:
            for _ in pool.map(lambda file: file.place.remove(), self.files):
                pass


@dataclass(frozen=True)
class Prune:
    """Finds what is unneeded in a cache: what its `register` does not need, and is older than `before`, in seconds
    since 1970."""

    register: Register
    before: float
    tell: Callable[[str], None] = lambda _: None
    """Called with a line of text where something takes long."""

    @property
    def folder(self) -> CacheFolder:
        """The cache."""
        return self.register.folder

    @property
    def needed(self) -> Needed:
        """What the registered runs need."""
        return Needed(self.register)

    def steps(self, prefix: str) -> Unneeded:
        """Step files of `prefix` that no registered run names."""
        return self._of(step_files(prefix), self.needed.step_files(prefix))

    def row_images(self, steps: Unneeded) -> Unneeded:
        """Images that rows held, and that none of the step files names which stay. `steps`: those that go."""
        return self._of(ROW_IMAGES, self.needed.row_images(steps.files) if self._has_any(ROW_IMAGES) else set())

    def tar_indexes(self) -> Unneeded:
        """Indexes of tars that no registered run reads any more, or that were changed since."""
        return self._of(TAR_INDEXES, self.needed.tar_indexes() if self._has_any(TAR_INDEXES) else set())

    def trials(self) -> Unneeded:
        """What is remembered of servers that no registered run asks any more."""
        return self._of(TRIALS, self.needed.trials() if self._has_any(TRIALS) else set())

    def marks(self) -> Unneeded:
        """Marked pictures that no registered run drew."""
        return self._of(MARKS, self.needed.marks())

    def answers(self) -> Unneeded:
        """Answers that no registered run would reuse, finished or stopped. Raises UsageError when that cannot be
        known."""
        if not self.register.runs:
            raise UsageError(
                f"--answers: no run is registered in {self.folder.place.url}, so all would go; remove its folder "
                "captions/ by hand if you mean that"
            )
        needed, others = self.needed.answers_of_finished()
        found = self._of(ANSWERS, needed)
        if found.files:  # else no image need be read to know more
            for run in others:
                self.tell(
                    f"reading the input of {run.content.output}, whose run was stopped, for the answers it needs …"
                )
                for keys in self.needed.answers_to_look_up(run):
                    found.keep(keys)
        return found

    def leftovers(self) -> Unneeded:
        """What writes of killed runs left behind."""
        probes = (file for file in self.folder.files(PROBES) if file.whose == "ours")
        cut_off = (file for kind in self.folder.kinds() for file in self.folder.files(kind) if file.whose == "leftover")
        return self._sorted_out("leftovers", (file for files in (probes, cut_off) for file in files), set())

    def _has_any(self, kind: Kind) -> bool:
        return any(True for _ in self.folder.files(kind))

    def _of(self, kind: Kind, needed: Set[str] | None) -> Unneeded:
        ours = (file for file in self.folder.files(kind) if file.whose == "ours")
        if needed is None:
            return Unneeded(kind.name, sum(1 for _ in ours), note=NOT_KNOWN)
        return self._sorted_out(kind.name, ours, needed)

    def _sorted_out(self, kind: str, files: Iterable[CacheFile], needed: Set[str]) -> Unneeded:
        found = Unneeded(kind)
        for file in files:
            found.seen += 1
            if file.stem not in needed and file.item.changed_at <= self.before:
                found.files.append(file)
        return found


def find_unneeded(prune: Prune, prefix: str, *, marks: bool, answers: bool) -> Iterator[Unneeded]:
    """What can go of each kind; all of it is found before anything is removed."""
    steps = prune.steps(prefix)
    yield steps
    for found in (prune.row_images(steps), prune.tar_indexes(), prune.trials(), prune.leftovers()):
        if found.seen:
            yield found
    if marks:
        yield prune.marks()
    if answers:
        yield prune.answers()


def check_register(register: Register) -> None:
    """Raises UsageError when entries cannot be read: what their outputs need is not known then."""
    if register.damaged:
        raise UsageError(
            f"{register.damaged[0].url} cannot be read, so what its outputs need is not known; run them again, name "
            "them with --forget, or remove it"
        )


def older_than(hours: float) -> float:
    """The time, in seconds since 1970, `hours` ago."""
    return time.time() - hours * 3600


def forget(entries: Iterable[Place]) -> None:
    """Remove these entries from the register, with all that is known of their outputs."""
    for entry in entries:
        for place in (entry, beside(entry, "marks"), beside(entry, "steps")):
            place.remove()
