"""What earlier runs found out about servers, so that each is tried out once: `{cache_path}/endpoints/{name}.json`.

One small file for each endpoint and model. It holds no key and nothing of a row. A file that is damaged, or of another
version, counts as absent: the server is tried out again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

from regioncap.config.model import RegionCapConfig
from regioncap.errors import StorageError
from regioncap.records import dumps, loads
from regioncap.storage.cache_folder import TRIALS
from regioncap.storage.filesystem import Place
from regioncap.storage.steps import digest
from regioncap.storage.urls import redact_url

FOLDER = TRIALS.folders[0]

VERSION = 1
"""Raise it when what is found out means something else than before."""

logger = logging.getLogger("regioncap")


@dataclass(frozen=True)
class Findings:
    """What trying a server out has shown.

    `asked`: the setting `structure` by then; `structure`: what answers are held to. `tokens_name`: see `Dialect`.
    `finish`: the word for the end of a whole answer. `largest`: by name, how much the largest request had of what a
    server limits. `listed`: what the server's list told of the model.
    """

    asked: str
    structure: str
    tokens_name: str
    finish: str
    largest: Mapping[str, int] = field(default_factory=dict)
    listed: Mapping[str, str] = field(default_factory=dict)

    def covers(self, largest: Mapping[str, int]) -> bool:
        """Whether a request of this size is known to fit."""
        return all(size <= self.largest.get(name, 0) for name, size in largest.items())

    def lists_another(self, listed: Mapping[str, str]) -> bool:
        """Whether the server's list tells of another model, or of one that is served in another way."""
        return bool(self.listed and listed) and self.listed != listed


def name_of(url: str, model: str) -> str:
    """The name, without its ending, of the file about `model` at the base URL `url`, as it is set."""
    return digest([redact_url(url), model])


def names_for(config: RegionCapConfig) -> set[str]:
    """The names of the files about the config's endpoints."""
    captions = {name_of(url, config.model or "") for url in config.endpoint}
    regions = config.find_endpoint or config.endpoint if config.asks_for_regions else ()
    return captions | {name_of(url, config.finder_model or "") for url in regions}


class RememberedFindings:
    """The findings in one folder; None remembers nothing. Several runs may share it: each write replaces a file."""

    def __init__(self, folder: Place | None) -> None:
        self._folder = folder

    def _place(self, url: str, model: str) -> Place | None:
        return self._folder.child(f"{name_of(url, model)}.json") if self._folder and url else None

    def get(self, url: str, model: str) -> Findings | None:
        """What is known of `model` at `url`; None for nothing of use, or where `url` is ""."""
        place = self._place(url, model)
        try:
            return None if place is None else _findings_in(place.read())
        except FileNotFoundError:
            return None
        except (StorageError, ValueError, RecursionError) as error:
            logger.debug("what is known of %s cannot be used: %s", redact_url(url), error)
            return None

    def put(self, url: str, model: str, findings: Findings) -> None:
        """Remember `findings`, unless `url` is "". That it fails stops no run: the next one tries the server out
        again."""
        place = self._place(url, model)
        content = {"version": VERSION, "endpoint": redact_url(url), "model": model, **asdict(findings)}
        try:
            if place is not None:
                place.write(dumps({**content, "checksum": digest(content)}) + b"\n", durable=False)
        except StorageError as error:
            logger.debug("what is known of %s cannot be kept: %s", redact_url(url), error)


def _findings_in(text: bytes) -> Findings:
    """The findings in a file. Raises ValueError for another version, or what is damaged."""
    content = loads(text)
    if not isinstance(content, dict) or content.pop("checksum", None) != digest(content):
        raise ValueError("its checksum does not match")
    if content.get("version") != VERSION:
        raise ValueError("it is of another version")
    try:
        return Findings(**{each.name: content[each.name] for each in fields(Findings)})
    except KeyError as error:
        raise ValueError(f"it lacks {error}") from None
