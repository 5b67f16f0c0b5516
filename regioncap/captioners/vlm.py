"""Captions from a vision-language model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from regioncap.captioners.access import Access
from regioncap.captioners.base import CaptionerOptions, CaptionRequest, CaptionResult, Prompt
from regioncap.captioners.health import RetryPolicy
from regioncap.captioners.prompts import Prompts
from regioncap.captioners.remembered import FOLDER, RememberedFindings
from regioncap.captioners.row_prompt import prompt_of, templates_of
from regioncap.captioners.session import CaptionSession, Server
from regioncap.captioners.tls import tls_context
from regioncap.config.model import RegionCapConfig


def model_identity(config: RegionCapConfig) -> str:
    """The model's name in the keys of its answers: `model_id`, else the name; for a local folder a digest of its config
    and weights, so that a moved folder is the same model and retrained weights are another."""
    if config.model_id:
        return config.model_id
    folder = Path(config.model or "")
    if not folder.is_dir():
        return config.model or ""
    seen = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.name == "config.json" or file.name.endswith(".index.json"):
            seen.update(file.read_bytes())
        elif file.suffix in (".safetensors", ".bin", ".gguf"):
            # Weights are identified by size and their head, which in safetensors lists every tensor.
            with file.open("rb") as weights:
                seen.update(f"{file.name} {file.stat().st_size}".encode() + weights.read(1 << 16))
    return f"folder:{seen.hexdigest()[:32]}"


class VlmCaptioner:
    """See `regioncap.captioners.base.Captioner`. What runs the model is up to the subclass.

    `policy`: how failures of the servers are met.
    """

    name = ""
    paid = True

    def __init__(self, options: CaptionerOptions, policy: RetryPolicy | None = None) -> None:
        self._config = options.config
        self._options = options
        self.model = options.config.model or ""
        self._prompts = Prompts.of(options.config)
        self._identity = {"model": model_identity(options.config), **options.config.values_read_by("identity")}
        remembered = RememberedFindings(options.cache and options.cache.child(FOLDER))
        self.session = CaptionSession(
            options.config, self.connect, options.count, policy, remembered, options.allowance, options.beside
        )

    def connect(self) -> Sequence[Server]:
        """The servers that have the model. Called once, for the first row; may start them."""
        raise NotImplementedError

    def check(self) -> None:
        """Nothing is known about servers elsewhere before they are asked."""

    def identity(self) -> dict[str, Any]:
        """What decides an answer's text besides picture and prompt; the server is not part of it."""
        return dict(self._identity)

    def templates(self) -> dict[str, Any]:
        """The prompts in use, and the keys of the regions that they may name."""
        return templates_of(self._config)

    def prompt(self, request: CaptionRequest) -> Prompt:
        """The texts for all of the picture's regions. Raises RowReject `bad_row` when the row lacks a field."""
        return prompt_of(self._prompts, request)

    def get_ready(self) -> None:
        """Servers that have to be started wait for the first caption that is missing."""

    def submit(self, request: CaptionRequest) -> Future[CaptionResult]:
        """Ask for `request.wanted`; see `CaptionSession`."""
        return self.session.submit(request)

    def stop_sending(self) -> None:
        """Send no more requests; see `CaptionSession`."""
        self.session.stop_sending()

    def drain(self) -> None:
        """Let what is in flight come back; see `CaptionSession`."""
        self.session.drain()

    def close(self) -> None:
        """Give up what is in flight."""
        self.session.close()


class OpenAICaptioner(VlmCaptioner):
    """Servers that are there already, one or several of the same model."""

    name = "openai"

    def get_ready(self) -> None:
        """Try the servers out while the first pictures are drawn."""
        self.session.get_ready()

    def check(self) -> None:
        """Raises ConfigError for a `ca_file` without certificates."""
        if self._config.ca_file is not None:
            tls_context(self._config.ca_file)

    def connect(self) -> Sequence[Server]:
        """The config's endpoints, with the credentials that the environment and Prefect blocks hold."""
        endpoints = self._config.endpoint
        accesses = self._options.access() or [Access()] * len(endpoints)
        return [Server(url, access) for url, access in zip(endpoints, accesses, strict=True)]
