"""Captions from a vision-language model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from regioncap.captioners.base import CaptionRequest, CaptionResult, Prompt, Setting
from regioncap.captioners.prompts import Prompts
from regioncap.captioners.session import CaptionSession, Server
from regioncap.config.model import RegionCapConfig

IDENTITY_FIELDS = ("prompt_mode", "temperature", "top_p", "top_k", "repetition_penalty", "seed")


def model_identity(config: RegionCapConfig) -> str:
    """What a model's answers are kept under: `model_id`, else the name; for a local folder a digest of its config and
    weight index, so that a moved folder is the same model and retrained weights are another."""
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
            # Weights are told apart by size and their head, which in safetensors lists every tensor.
            with file.open("rb") as weights:
                seen.update(f"{file.name} {file.stat().st_size}".encode() + weights.read(1 << 16))
    return f"folder:{seen.hexdigest()[:32]}"


class VlmCaptioner:
    """See `regioncap.captioners.base.Captioner`. What runs the model is up to the subclass."""

    name = ""
    paid = True

    def __init__(self, setting: Setting) -> None:
        self._config = setting.config
        self._setting = setting
        self.model = setting.config.model or ""
        self._prompts = Prompts.of(setting.config)
        self._model_identity = model_identity(setting.config)
        self.session = CaptionSession(setting.config, self.connect, setting.count)

    def connect(self) -> Sequence[Server]:
        """The servers that have the model. Called once, for the first row; may start them."""
        raise NotImplementedError

    def check(self) -> None:
        """Nothing can be said of servers elsewhere before they are asked."""

    def identity(self) -> dict[str, Any]:
        """What decides an answer's words beside picture and prompt; which server gave it does not."""
        return {"model": self._model_identity, **self._config.fields(IDENTITY_FIELDS)}

    def templates(self) -> dict[str, Any]:
        """The config's prompts that are used."""
        return self._config.fields((*self._config.templates(), "region_fields"))

    def prompt(self, request: CaptionRequest) -> Prompt:
        """The texts for all of the picture's regions. Raises RowReject `bad_row` when the row lacks a field."""
        count, fields, of_regions = len(request.bbox), request.fields, request.region_fields
        if request.again:
            texts = [self._prompts.focal_text(number, count, fields, of_regions) for number in request.wanted]
            return Prompt("\n".join(texts), self._prompts.system_text(fields))
        text = self._prompts.whole_text(count, fields, of_regions)
        return Prompt(text, self._prompts.system_text(fields))

    def get_ready(self) -> None:
        """Servers that have to be started wait for the first caption that is missing."""

    def submit(self, request: CaptionRequest) -> Future[CaptionResult]:
        """Ask for `request.wanted`; see `CaptionSession`."""
        return self.session.submit(request)

    def stop_sending(self) -> None:
        """Send no more requests; see `CaptionSession`."""
        self.session.stop_sending()

    def drain(self) -> None:
        """Let what is under way come back; see `CaptionSession`."""
        self.session.drain()

    def close(self) -> None:
        """Give up what is under way."""
        self.session.close()


class OpenAICaptioner(VlmCaptioner):
    """Servers that are there already, one or several of the same model."""

    name = "openai"

    def get_ready(self) -> None:
        """Try the servers out while the first pictures are drawn."""
        self.session.get_ready()

    def connect(self) -> Sequence[Server]:
        """The config's endpoints, with the key that the environment or a Prefect block holds."""
        key = self._setting.secret()
        return [Server(url, key) for url in self._config.endpoint]
