"""Claims as they lie in a store: made where there is none, taken over from the dead, removed by their holder.

    {folder}/{key}            the claim on an answer: whose it is
    {folder}/{key}.{token}    it was taken over from the run `token`, which is dead; the last one counts

Nobody replaces what another has written. Whoever holds a claim removes the first record of its chain first: a record
that follows one that is gone counts for nothing.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from regioncap.errors import StorageError
from regioncap.storage.conditional_writes import content_of, create_record
from regioncap.storage.filesystem import Place
from regioncap.storage.holders import Holder

NAME = re.compile(r"[0-9a-f]{32}(?:\.[0-9a-f]{32})?")
NOBODY = "0" * 32
"""Stands for the run of a record that says nothing: its writer was killed right then."""


@dataclass(frozen=True)
class Chain:
    """The records of one claim, as they were read. `token`: of the run that holds it; "" where the last record says
    nothing."""

    names: tuple[str, ...]
    token: str


class ClaimRecords:
    """The claims in `folder`."""

    def __init__(self, folder: Place) -> None:
        self._folder = folder

    def listed(self) -> dict[str, float]:
        """All records, by one listing, and when each was written. Raises StorageError."""
        return {item.name: item.changed_at for item in self._folder.items() if NAME.fullmatch(item.name)}

    def make(self, key: str, holder: Holder) -> bool | None:
        """Claim an answer. Returns whether it is ours now; None where the store did not say. Raises StorageError."""
        return create_record(self._folder.child(key), holder.record())

    def chain_of(self, key: str, listed: Iterable[str]) -> Chain | None:
        """The claim on an answer, which is among the records `listed`; None when it is gone. Raises StorageError."""
        names: list[str] = []
        name, token = key, ""
        while name in listed and name not in names:
            data = content_of(self._folder.child(name))
            if data is None:
                return None
            names.append(name)
            token = _token_in(data)
            name = f"{key}.{token or NOBODY}"
        return Chain(tuple(names), token)

    def take_over(self, chain: Chain, holder: Holder) -> list[str] | None:
        """Take the claim of a run that is dead: the names of its records, which are ours then; None when another was
        faster. Raises StorageError."""
        name = f"{chain.names[0]}.{chain.token or NOBODY}"
        if create_record(self._folder.child(name), holder.record()) is not True:
            return None
        # Whoever held it may have been followed, and the claim have ended, since it was read.
        before = content_of(self._folder.child(chain.names[-1]))
        if before is None or _token_in(before) != chain.token:
            self.remove([name])
            return None
        return [*chain.names, name]

    def remove(self, names: Iterable[str]) -> bool:
        """Remove records of ours, in this order. Returns whether that was possible."""
        with contextlib.suppress(StorageError):
            for name in names:
                self._folder.child(name).remove()
            return True
        return False


def _token_in(data: bytes) -> str:
    holder = Holder.read(data)
    return holder.token if holder is not None else ""
