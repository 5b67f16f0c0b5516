"""Claims on answers: of several runs on one cache that need the same one, one requests it, and the others wait for it.

    {cache}/claims/{key}            the claim on an answer: whose it is
    {cache}/claims/{key}.{token}    it was taken over from the run `token`, which is dead; the last one counts

A claim is made only where there is none (`conditional_writes`), and is removed when its answer is stored, or given up.
As long as a run is alone on its cache it makes no claims; see `live_runs` for how runs find out. When another comes,
claims are made for all that was requested already, and only then the other one begins.

A claim is a record of its holder: claims that outlive their run, as those of a provider's batch will, can say so there.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import re
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from regioncap.errors import StorageError
from regioncap.storage.conditional_writes import content_of, create_record
from regioncap.storage.filesystem import Place
from regioncap.storage.holders import Holder
from regioncap.storage.live_runs import LiveRuns, register_live
from regioncap.storage.store_lease import TTL_SECONDS, UNKNOWN, Clock

CLAIMS = "claims"
NAME = re.compile(r"[0-9a-f]{32}(?:\.[0-9a-f]{32})?")

ANSWER_SECONDS = 30.0
"""A run that starts waits at most this long until those that live claim what they have requested."""

logger = logging.getLogger("regioncap")


class Claim(enum.Enum):
    """How an answer may be requested. ALONE: no other run is there. OURS: it is claimed; another run may have had it
    before, so look it up again. TAKEN: not now, another run requests it."""

    ALONE = "alone"
    OURS = "ours"
    TAKEN = "taken"


Resume = Callable[[bool], None]
"""Called when an answer may be there, or may be requested; with whether it is ours since its holder is dead."""


@dataclass
class _Waiting:
    """An answer that another run requests. `resume`: see `when_free`. `chain`: the names of its claims, the last one's
    holder is `token`, as of `seen_at`."""

    resume: Resume
    chain: list[str] = field(default_factory=list)
    token: str = ""
    seen_at: float = -1.0
    unknown_since: float | None = None


class Claims:
    """The claims of a run in this process. For any thread.

    `holder`: makes the record of this run. `stop`: set when the run ends: nothing is waited for then. `group`: see
    `LiveRuns`. `pool`: threads for what takes long in a store; None where it is quick.
    """

    def __init__(
        self,
        cache: Place,
        holder: Callable[[], Holder],
        stop: threading.Event,
        *,
        group: str = "",
        pool: Executor | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._cache = cache
        self._folder = cache.child(CLAIMS)
        self._make_holder = holder
        self._group = group
        self._pool = pool
        self._stop = stop
        self._clock = clock or Clock()
        self._joining = threading.Lock()
        self._joined = False
        self._live: LiveRuns | None = None
        self._lock = threading.Lock()
        self._shared = False
        """Whether other runs are, or were, there, and the store can keep claims apart."""
        self._held: dict[str, list[str]] = {}
        """What this run requests: key and the names of its claims."""
        self._waiting: dict[str, _Waiting] = {}
        self._announced = False
        self._ended = threading.Event()
        self._off = False
        """Whether claims are of no use: the store cannot keep them apart, or cannot be reached for long."""
        self._failing_since: float | None = None

    # --- being there

    def join(self) -> None:
        """Be seen by other runs from now on; returns when those that live claim what they request. The first call does
        it. Never raises: a run that cannot be registered goes on alone."""
        with self._joining:
            if self._joined:
                return
            self._joined = True
            try:
                self._live = register_live(self._cache, self._make_holder(), self._group, self._clock)
                if self._live.others():
                    self._share()
                    self._wait_until_others_claim(self._live)
            except StorageError as error:
                logger.warning("runs at the same time do not see this one, and may request the same: %s", error)
            if self._live is not None:
                threading.Thread(target=self._watch, args=(self._live,), name="claims", daemon=True).start()

    def _wait_until_others_claim(self, live: LiveRuns) -> None:
        until = self._clock.now() + ANSWER_SECONDS
        while any(not other.claims for other in live.others()) and self._clock.now() < until:
            if self._stop.wait(live.look_every / 4):
                return

    def _share(self) -> None:
        """Another run is there: claim what is requested, and say so."""
        live = self._live
        assert live is not None
        others = ", ".join(str(other.holder or UNKNOWN) for other in live.others())
        with self._lock:
            self._shared = True
            keys = [key for key, names in self._held.items() if not names]
        for _ in self._map(self._claim_held, keys):
            pass
        if live.announce_claims():
            self._announced = True
            logger.info("at work on the same cache: %s; answers that both need are requested by one of them", others)
        else:
            self._give_up(f"{self._cache.url} has no conditional writes, so {others}")

    def _claim_held(self, key: str) -> None:
        made = create_record(self._folder.child(key), self._record)
        with self._lock:
            if made and key in self._held:
                self._held[key] = [key]
                made = False
        if made:
            self._remove([key])  # its answer came meanwhile

    def close(self) -> None:
        """The run ends: give up all claims and leave."""
        self._ended.set()
        with self._joining:
            self._joined = True
            with self._lock:
                names = [name for names in self._held.values() for name in names]
                self._held.clear()
                self._waiting.clear()
            for _ in self._map(lambda name: self._remove([name]), names):
                pass
            if self._live is not None:
                self._live.withdraw()

    # --- claims

    def acquire(self, key: str) -> Claim:
        """Whether the answer `key` may be requested now; then `release` it when it is stored, or given up."""
        with self._lock:
            if self._held.get(key) or not self._shared:
                self._held.setdefault(key, [])
                return Claim.OURS if self._held[key] else Claim.ALONE
        made: bool | None = None
        with contextlib.suppress(StorageError):  # a claim that cannot be made stops nothing
            made = create_record(self._folder.child(key), self._record)
        if made is False:
            return Claim.TAKEN
        with self._lock:
            self._held[key] = [key] if made else []
        return Claim.OURS

    def release(self, key: str) -> None:
        """The answer is stored, or is not requested any more."""
        with self._lock:
            names = self._held.pop(key, None)
        if names and self._pool is None:
            self._remove(names)
        elif names and self._pool is not None:
            with contextlib.suppress(RuntimeError):  # the run has ended
                self._pool.submit(self._remove, names)

    def when_free(self, key: str, resume: Resume) -> None:
        """Have `resume` called, in some thread, when the claim on the answer `key` is gone, or ours. It must not
        raise."""
        with self._lock:
            off = self._off
            if not off:
                self._waiting[key] = _Waiting(resume)
        if off:
            self._call(resume, False)

    @property
    def _record(self) -> bytes:
        assert self._live is not None
        return self._live.holder.record()

    def _remove(self, names: Iterable[str]) -> None:
        """Remove the claims on an answer, the first one first: without it the others count for nothing."""
        with contextlib.suppress(StorageError):
            for name in names:
                self._folder.child(name).remove()

    def _map(self, do: Callable[[str], None], names: Iterable[str]) -> Iterable[None]:
        return map(do, names) if self._pool is None else self._pool.map(do, names)

    # --- the one thread that looks whether others came, and whether answers did

    def _watch(self, live: LiveRuns) -> None:
        look = self._sweep
        while not (self._ended.is_set() or self._off):
            try:
                look(live)
                look, self._failing_since = self._look, None
            except Exception as error:  # a bug, too: rows would wait for ever
                if not isinstance(error, StorageError) or self._fails_for_too_long():
                    self._give_up(f"{error}: other runs")
            self._ended.wait(live.look_every)

    def _fails_for_too_long(self) -> bool:
        now = self._clock.now()
        if self._failing_since is None:
            self._failing_since = now
        return now - self._failing_since > TTL_SECONDS

    def _give_up(self, why: str) -> None:
        """Make no more claims, and wait for none."""
        logger.warning("%s may request the same captions as this run", why)
        with self._lock:
            self._off, self._shared = True, False
            waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            self._call(each.resume, False)

    def _sweep(self, live: LiveRuns) -> None:
        """Remove what dead runs left."""
        claims = {item.name: item.changed_at for item in self._folder.items()}
        living = {run.token for run in live.all_living()}

        def remove_if_dead(key: str) -> None:
            if self._is_over(key, _Waiting(lambda _: None), claims, living):
                self.release(key)

        for _ in self._map(remove_if_dead, [name for name in claims if "." not in name]):
            pass

    def _look(self, live: LiveRuns) -> None:
        with self._lock:
            waiting = dict(self._waiting)
        # Listed before the runs are: a claim of a run that has just come is not one of the dead.
        claims = {item.name: item.changed_at for item in self._folder.items()} if waiting else {}
        runs = live.all_living()
        if not self._announced and any(run.group != live.group for run in runs):
            self._share()
        living = {run.token for run in runs}
        for key, each in waiting.items():
            if key not in claims or self._is_over(key, each, claims, living):
                with self._lock:
                    self._waiting.pop(key, None)
                    taken_over = key in self._held
                self._call(each.resume, taken_over)

    def _call(self, resume: Resume, taken_over: bool) -> None:
        if self._pool is None:
            resume(taken_over)
        else:
            with contextlib.suppress(RuntimeError):  # the run has ended
                self._pool.submit(resume, taken_over)

    def _is_over(self, key: str, waiting: _Waiting, claims: dict[str, float], living: set[str]) -> bool:
        """Whether the claim on an answer is gone, or ours by now, since its holder is dead."""
        if waiting.seen_at != claims[key] or waiting.token not in living:
            if not self._read_chain(key, waiting, claims):
                return True
            waiting.seen_at = claims[key]
        if waiting.token:
            waiting.unknown_since = None
            return waiting.token not in living and self._take_over(key, waiting)
        # It is being written, or its writer was killed right then.
        now = self._clock.now()
        waiting.unknown_since = waiting.unknown_since if waiting.unknown_since is not None else now
        return now - waiting.unknown_since > TTL_SECONDS and self._take_over(key, waiting)

    def _read_chain(self, key: str, waiting: _Waiting, claims: dict[str, float]) -> bool:
        """Find out who holds a claim; False when there is none any more."""
        chain, name = [], key
        while name in claims:
            data = content_of(self._folder.child(name))
            if data is None:
                return False
            chain.append(name)
            token = _token_in(data)
            name = f"{key}.{token}"
        waiting.chain, waiting.token = chain, token
        return True

    def _take_over(self, key: str, waiting: _Waiting) -> bool:
        """Take the claim of a run that is dead, unless another is faster."""
        assert self._live is not None
        if waiting.token in {run.token for run in self._live.all_living()}:  # it has just come
            return False
        last, name = waiting.chain[-1], f"{key}.{waiting.token or NOBODY}"
        if create_record(self._folder.child(name), self._record) is not True:
            return False
        # Whoever held it may have been followed, and the claim ended, since it was read.
        before = content_of(self._folder.child(last))
        if before is None or _token_in(before) != waiting.token:
            self._remove([name])
            return False
        with self._lock:
            self._held[key] = [*waiting.chain, name]
        return True


NOBODY = "0" * 32
"""Stands for the run of a claim that says nothing."""


def _token_in(data: bytes) -> str:
    holder = Holder.read(data)
    return holder.token if holder is not None else ""
