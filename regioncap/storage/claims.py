"""Claims on answers: of several runs on one cache that need the same one, one requests it, and the others wait for it.

A claim lies in `{cache}/claims/` until its answer is stored, or given up: see `claim_records`. As long as a run is
alone on its cache it makes none; see `live_runs` for how runs find out. When another comes, claims are made for all
that was requested already, and only then the other one begins.

A claim is a record of its holder, which may outlive every run: those of a provider's batch do (`batch_records`).
"""

from __future__ import annotations

import contextlib
import enum
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from regioncap.errors import StorageError
from regioncap.storage.claim_records import Chain, ClaimRecords
from regioncap.storage.filesystem import Place
from regioncap.storage.holders import Holder
from regioncap.storage.leases import COMMITTING
from regioncap.storage.live_runs import LiveRuns, register_live
from regioncap.storage.store_lease import TTL_SECONDS, UNKNOWN, Clock

CLAIMS = "claims"

ANSWER_SECONDS = 30.0
"""A run that starts waits at most this long until those that live claim what they have requested."""

T = TypeVar("T")

logger = logging.getLogger("regioncap")


class Claim(enum.Enum):
    """How an answer may be requested. ALONE: no other run is there. OURS: it is claimed; another run may have had it
    before, so look it up again. TAKEN: not now, another run requests it."""

    ALONE = "alone"
    OURS = "ours"
    TAKEN = "taken"


Resume = Callable[[], None]
"""Called when an answer may be there, or may be requested."""


BATCHES_OF_OTHERS = "a run that collects batches"


@dataclass
class _Waiting:
    """An answer that another run requests. `resume`: see `when_free`. `chain`: its claim as last read; that was begun
    at `written_at`. `unknown_since`: since when its claim has been there without naming a holder."""

    resume: Resume
    chain: Chain | None = None
    written_at: float | None = None
    unknown_since: float | None = None


class Claims:
    """The claims of a run in this process. For any thread.

    `holder`: makes the record of this run. `stop`: set when the run ends: nothing is waited for then. `group`: see
    `LiveRuns`. `pool`: threads for what takes long in a store; None where it is quick. `on_joined`: called once others
    see this run, and when they did not for a while: what it knew before may have changed. `outliving`: given the tokens
    of the runs that live, those of holders that are no runs and whose claims hold; may raise StorageError.
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
        on_joined: Callable[[], None] = lambda: None,
        outliving: Callable[[set[str]], set[str]] = lambda living: set(),
    ) -> None:
        self._on_joined = on_joined
        self._outliving = outliving
        self._on_dead: Callable[[], object] = lambda: None
        self._cache = cache
        self._records = ClaimRecords(cache.child(CLAIMS))
        self._make_holder = holder
        self._group = group
        self._pool = pool
        self._stop = stop
        self._clock = clock or Clock()
        self._joining = threading.Lock()
        self._joined = False
        self._live: LiveRuns | None = None
        self._unseen = holder()
        self._lock = threading.Lock()
        self._shared = False
        """Whether other runs are, or were, there, and the store can keep claims apart."""
        self._held: dict[str, Sequence[str]] = {}
        """What this run requests: by key the records of its claims."""
        self._left: list[Sequence[str]] = []
        """Records of claims that are given up, and could not be removed yet: others wait until they are."""
        self._waiting: dict[str, _Waiting] = {}
        self._announced = False
        self._alone = False
        """Whether no other run was there at the last look."""
        self._ended = threading.Event()
        self._off = False
        """Whether claims are of no use: the store cannot keep them apart, or cannot be reached for long."""
        self._failing_since: float | None = None

    # --- being there

    def join(self, on_dead: Callable[[], object] = lambda: None) -> None:
        """Be seen by other runs from now on; returns when those that live claim what they request. The first call does
        it. Never raises: a run that cannot be registered goes on alone.

        `on_dead`: called, in some thread, before what a dead run had claimed may be requested; it may raise
        StorageError, and is called again then. A run that dies before this returns may have left no claims.
        """
        with self._joining:
            if self._joined:
                return
            self._joined, self._on_dead = True, on_dead
            if self._cache.address.startswith(COMMITTING):
                return
            try:
                self._live = register_live(self._cache, self._make_holder(), self._group, self._clock)
                if self._live.others() or self._outliving(set()):
                    self._share()
                    self._wait_until_others_claim(self._live)
            except StorageError as error:
                logger.warning("runs at the same time do not see this one, and may request the same: %s", error)
            self._on_joined()
            if self._live is not None:
                threading.Thread(target=self._watch, args=(self._live,), name="claims", daemon=True).start()

    @property
    def sees_others(self) -> bool:
        """Whether whatever another run stores from the call of `on_joined` on is claimed: `acquire` is not `ALONE`
        then."""
        return not self._off and (self._live is not None or not self._joined)

    @property
    def holder(self) -> Holder:
        """This run, as others see it; also one that could not be registered."""
        return self._live.holder if self._live is not None else self._unseen

    def living(self) -> set[str]:
        """The tokens of the runs that live, this one included. Raises StorageError."""
        seen = self._live.all_living() if self._live is not None else []
        return {self.holder.token, *(run.token for run in seen)}

    def _all_holding(self, live: LiveRuns) -> set[str]:
        """The tokens of all whose claims hold."""
        living = {run.token for run in live.all_living()}
        return living | self._outliving(living)

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
            if self._ended.is_set():  # meanwhile, and nobody removes what is left by a run that has left
                live.withdraw()
            if others:
                logger.info("at work on the same cache: %s; what both need is requested by one of them", others)
        else:
            self._give_up(f"{self._cache.url} has no conditional writes, so {others or BATCHES_OF_OTHERS}")

    def _claim_held(self, key: str) -> None:
        made = self._records.make(key, self._holder)
        with self._lock:
            if made and key in self._held:
                self._held[key] = [key]
                made = False
        if made:
            self._records.remove([key])  # its answer came meanwhile

    def close(self) -> None:
        """The run ends: give up all claims and leave."""
        self._ended.set()
        with self._joining:  # not for longer: threads of the pool that wait to join would let nothing be removed
            self._joined = True
        with self._lock:
            held, self._held, self._waiting = self._held, {}, {}
        for _ in self._map(self._records.remove, filter(None, held.values())):
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
            made = self._records.make(key, self._holder)
        if made is False:
            return Claim.TAKEN
        with self._lock:
            self._held[key] = [key] if made else []
        return Claim.OURS

    def release(self, key: str) -> None:
        """The answer is stored, or is not requested any more."""
        with self._lock:
            names = self._held.pop(key, None)
        if names:
            self._do(self._remove, names)

    def _remove(self, names: Sequence[str]) -> None:
        if not self._records.remove(names):
            with self._lock:
                self._left.append(names)

    def when_free(self, key: str, resume: Resume) -> None:
        """Have `resume` called, in some thread, when the claim on the answer `key` is gone, or ours. It must not
        raise."""
        with self._lock:
            off = self._off
            if not off:
                self._waiting[key] = _Waiting(resume)
        if off:
            self._do(resume)

    @property
    def _holder(self) -> Holder:
        return self.holder

    def _do(self, do: Callable[..., object], *args: object) -> None:
        """`do(*args)`, in a thread where that takes long."""
        if self._pool is None:
            do(*args)
        else:
            with contextlib.suppress(RuntimeError):  # the run has ended
                self._pool.submit(do, *args)

    def _map(self, do: Callable[[T], object], each: Iterable[T]) -> Iterable[object]:
        return map(do, each) if self._pool is None else self._pool.map(do, each)

    # --- the one thread that looks whether others came, and whether answers did

    def _watch(self, live: LiveRuns) -> None:
        look, pause = self._sweep, live.look_every
        while not (self._ended.is_set() or self._off):
            try:
                look(live)
                look, self._failing_since = self._look, None
            except Exception as error:  # a bug, too: rows would wait for ever
                if self._ended.is_set():  # and with the run its threads
                    break
                if not isinstance(error, StorageError) or self._fails_for_too_long():
                    self._give_up(f"{error}: other runs")
            # Each costs a request in a store: alone, a run looks ever more rarely.
            pause = min(2 * pause, live.look_every_alone) if self._alone else live.look_every
            self._ended.wait(pause)
        # Whoever comes later is to know that it is not alone.
        while not self._ended.wait(live.look_every_alone):
            with contextlib.suppress(Exception):  # what it was that ended claims has been said
                live.all_living()

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
            self._do(each.resume)

    def _sweep(self, live: LiveRuns) -> None:
        """Remove what dead runs left."""
        claims = self._records.listed()
        living = self._all_holding(live)

        def remove_if_dead(key: str) -> None:
            if self._is_over(key, _Waiting(lambda: None), claims, living):
                self.release(key)

        for _ in self._map(remove_if_dead, [name for name in claims if "." not in name]):
            pass

    def _look(self, live: LiveRuns) -> None:
        with self._lock:
            waiting = dict(self._waiting)
            left, self._left = self._left, []
        for names in left:
            self._remove(names)
        # Listed before the runs are: a claim of a run that has just come is not one of the dead.
        claims = self._records.listed() if waiting else {}
        runs = live.all_living()
        if live.holder.token not in {run.token for run in runs}:
            self._on_joined()  # it slept so long that others took it for dead, and asked without claims
        self._alone = all(run.group == live.group for run in runs)
        if not (self._alone or self._announced):
            self._share()
        living = {run.token for run in runs}
        living |= self._outliving(living) if waiting else set()

        def resume_if_over(key: str) -> None:
            if key not in claims or self._is_over(key, waiting[key], claims, living):
                with self._lock:
                    self._waiting.pop(key, None)
                self._do(waiting[key].resume)

        for _ in self._map(resume_if_over, waiting):
            pass

    def _is_over(self, key: str, waiting: _Waiting, claims: dict[str, float], living: set[str]) -> bool:
        """Whether the claim on an answer is gone, or ours by now, since its holder is dead."""
        if waiting.chain is None or waiting.written_at != claims[key] or waiting.chain.token not in living:
            waiting.chain, waiting.written_at = self._records.chain_of(key, claims), claims[key]
        chain = waiting.chain
        if chain is None:
            return True
        return chain.token not in living and self._is_dead(waiting, chain) and self._take_over(key, chain)

    def _is_dead(self, waiting: _Waiting, chain: Chain) -> bool:
        assert self._live is not None
        if chain.token:
            # It may just have come.
            return chain.token not in self._all_holding(self._live)
        # It is being written, or its writer was killed right then.
        now = self._clock.now()
        waiting.unknown_since = now if waiting.unknown_since is None else waiting.unknown_since
        return now - waiting.unknown_since > TTL_SECONDS

    def _take_over(self, key: str, chain: Chain) -> bool:
        self._on_dead()
        names = self._records.take_over(chain, self._holder)
        if names is not None:
            with self._lock:
                self._held[key] = names
        return names is not None
