"""What `bench.py` times: runs of the command, of this checkout's code or another's, and of the script by hand."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from frozen.photos import make_photos
from stand_in import LATENCY, Store, object_store

T = TypeVar("T")

HERE = Path(__file__).parent
FROZEN = HERE / "frozen"
SUMS = FROZEN / "SHA256SUMS"
COMMAND = (
    "import sys, regioncap; from pathlib import Path; root = sys.argv.pop(1)\n"
    "assert Path(regioncap.__file__).is_relative_to(root), f'{regioncap.__file__} is not of {root}'\n"
    "import regioncap.command as entry\n"
    "if not hasattr(entry, 'main'): import regioncap.command.app as entry\n"  # before the entry was there
    "entry.main()"
)
"""The `regioncap` command, of the code that PYTHONPATH names and no other."""


@dataclass(frozen=True)
class Code:
    """A checkout; `name`: what the table calls it."""

    root: Path
    name: str


@dataclass(frozen=True)
class Case:
    """`rows` photos for a server of `slots` requests at once, each of `latency` seconds, held to a regex or not."""

    rows: int
    slots: int
    latency: float
    structure: str = "regex"


@dataclass(frozen=True)
class Run:
    """A process that has ended: when it began and ended (seconds since 1970), its CPU seconds (user and system), the
    most memory it had, and what the server counted (see `frozen/server.py`)."""

    begun: float
    ended: float
    cpu: float
    peak_mb: float
    stats: Mapping[str, Any] = field(default_factory=dict)

    @property
    def wall(self) -> float:
        """Seconds from its start to its end."""
        return self.ended - self.begun


def check_frozen() -> None:
    """Raises SystemExit where something that the goals are told in terms of is not what it was."""
    for line in SUMS.read_text().splitlines():
        expected, name = line.split(maxsplit=1)
        if hashlib.sha256((FROZEN / name).read_bytes()).hexdigest() != expected:
            raise SystemExit(f"{(FROZEN / name).resolve()} is frozen and was changed: goals are told in terms of it")


def ask_server(url: str, path: str) -> Any:
    """What the frozen server says at `path`, `stats` or `log`."""
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/{path}") as response:
        return json.load(response)


@contextmanager
def frozen_server(case: Case) -> Iterator[str]:
    """The base URL of a frozen server in a process of its own."""
    command = [sys.executable, str(FROZEN / "server.py"), str(case.slots), str(case.latency), case.structure]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def finish(process: subprocess.Popen[bytes], begun: float, log: Path) -> Run:
    """Wait for a process. Raises RuntimeError, with the end of its log, where it failed."""
    _, status, used = os.wait4(process.pid, 0)
    ended = time.time()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(log.read_text()[-2000:].strip() or f"exit {process.returncode}")
    return Run(begun, ended, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


class Lab:
    """Photos, a Prefect server and folders for the runs of one call; a context manager.

    `round`: runs of one round are made once, whichever figures are made of them.
    """

    def __init__(self) -> None:
        self._until_closed = ExitStack()
        self._photos: dict[int, Path] = {}
        self._made: dict[object, object] = {}
        self._prefect_url = ""
        self.round = 0

    def __enter__(self) -> Lab:
        self.folder = Path(self._until_closed.enter_context(tempfile.TemporaryDirectory()))
        return self

    def __exit__(self, *error: object) -> None:
        self._until_closed.close()

    def photos(self, rows: int) -> Path:
        """A listing of that many photos."""
        if rows not in self._photos:
            folder = self.folder / f"photos-{rows}"
            folder.mkdir()
            self._photos[rows] = make_photos(folder, rows)
        return self._photos[rows]

    @property
    def prefect_url(self) -> str:
        """The API of a Prefect server that runs until the lab is closed."""
        if not self._prefect_url:
            from prefect_server import prefect_server

            self._prefect_url = self._until_closed.enter_context(prefect_server())
        return self._prefect_url

    def start(
        self, code: Code, args: Sequence[str], folder: Path, own_server: bool = False, store: Store | None = None
    ) -> subprocess.Popen[bytes]:
        """`regioncap run ARGS` of `code`, with output and cache in `folder`, or in an object store; its log is in
        `folder/log.txt`."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        server = {} if own_server else {"PREFECT_API_URL": self.prefect_url}
        root, of_store = (str(folder), {}) if store is None else (store.folder, store.env)
        places = ["--output", f"{root}/out.jsonl", "--cache-path", f"{root}/cache"]
        own = {"PYTHONPATH": str(code.root), "PREFECT_HOME": str(self.folder / "prefect")}
        with (folder / "log.txt").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-c", COMMAND, str(code.root), "run", *args, *places],
                env=kept | server | of_store | own, stdout=log, stderr=log,
            )  # fmt: skip

    @contextmanager
    def place(self) -> Iterator[Path]:
        """A new folder, for one run."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            yield Path(name)

    def run(self, code: Code, case: Case, own_server: bool = False) -> Run:
        """One run of `code` in a new cache, with the Prefect server that is there or one of its own."""

        def made() -> Run:
            listing, ready = str(self.photos(case.rows)), own_server or self.prefect_url
            with self.place() as folder, frozen_server(case) as url:
                assert ready
                begun = time.time()
                args = [listing, "--endpoint", url, "--model", "fake-vlm"]
                done = finish(self.start(code, args, folder, own_server), begun, folder / "log.txt")
                return Run(done.begun, done.ended, done.cpu, done.peak_mb, ask_server(url, "stats"))

        return self.once((code, case, own_server), made)

    def run_in_store(self, code: Code, case: Case) -> Run:
        """As `run`, with photos, cache and output in an object store with latency."""

        def made() -> Run:
            photos = self.photos(case.rows).parent
            assert self.prefect_url
            with self.place() as folder, object_store(0.0) as store, frozen_server(case) as url:
                store.fs.put(f"{photos}/", f"{store.folder}/in/", recursive=True)
                store.counted(LATENCY)
                begun = time.time()
                args = [f"{store.folder}/in/{self.photos(case.rows).name}", "--endpoint", url, "--model", "fake-vlm"]
                done = finish(self.start(code, args, folder, store=store), begun, folder / "log.txt")
                return Run(done.begun, done.ended, done.cpu, done.peak_mb, ask_server(url, "stats"))

        return self.once((code, case, "store"), made)

    def run_pixels(self, code: Code, listing: Path) -> Run:
        """One run of `code` with captioner `pixels` in a new cache."""

        def made() -> Run:
            assert self.prefect_url
            with self.place() as folder:
                begun = time.time()
                process = self.start(code, [str(listing), "--captioner", "pixels", "--max-boxes", "2"], folder)
                return finish(process, begun, folder / "log.txt")

        return self.once((code, listing), made)

    def by_hand(self, case: Case) -> Run:
        """One run of the frozen script."""

        def made() -> Run:
            listing = self.photos(case.rows)
            with self.place() as folder, frozen_server(case) as url, (folder / "log.txt").open("wb") as log:
                begun = time.time()
                process = subprocess.Popen(  # -P: its `job` is the frozen one, not the one beside it
                    [sys.executable, "-P", str(HERE / "peers" / "by_hand.py"), str(listing), str(folder), url],
                    env={**os.environ, "PYTHONPATH": str(FROZEN)}, stdout=log, stderr=log,
                )  # fmt: skip
                done = finish(process, begun, folder / "log.txt")
                return Run(done.begun, done.ended, done.cpu, done.peak_mb, ask_server(url, "stats"))

        return self.once(("by hand", case), made)

    def killed(self, code: Code, case: Case, answers: int) -> int:
        """Kill a run (SIGKILL) once the server has given that many answers, and run it again: how many pictures were
        asked for again whose answer was written 50 ms or more before the kill."""
        args = [str(self.photos(case.rows)), "--model", "fake-vlm"]
        with self.place() as folder, frozen_server(case) as url:
            process = self.start(code, [*args, "--endpoint", url], folder)
            while sum(answered is not None for _, _, answered in ask_server(url, "log")) < answers:
                if process.poll() is not None:
                    raise RuntimeError(f"it ended before it was killed: {(folder / 'log.txt').read_text()[-2000:]}")
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed = time.time()
            begun = time.time()
            finish(self.start(code, [*args, "--endpoint", url], folder), begun, folder / "log.txt")
            log = ask_server(url, "log")
        safe = {picture for picture, _, answered in log if answered is not None and answered <= killed - 0.05}
        return len(safe & {picture for picture, came, _ in log if came > killed})

    def once(self, what: object, make: Callable[[], T]) -> T:
        """What `make` returns; in one round it is called once for each `what`."""
        key = (self.round, what)
        if key not in self._made:
            self._made[key] = make()
        return cast(T, self._made[key])


def compile_modules(root: Path) -> None:
    """Compile the checkout at `root`, as an installed package is: where PYTHONDONTWRITEBYTECODE is set each run would
    do it, which takes half a second."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", "regioncap", "flows", "tasks"], cwd=root, check=True)


@contextmanager
def checkout(revision: str) -> Iterator[Code]:
    """A worktree of `revision` in a temporary folder. Raises SystemExit for a revision that there is not."""
    git = ["git", "-C", str(HERE)]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "checkout"
        made = subprocess.run(
            [*git, "worktree", "add", "--detach", str(root), revision], capture_output=True, text=True
        )
        if made.returncode:
            raise SystemExit(f"--against {revision}: {made.stderr.strip()}")
        try:
            compile_modules(root)
            yield Code(root, revision)
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                subprocess.run([*git, "worktree", "remove", "--force", str(root)], check=True, capture_output=True)
