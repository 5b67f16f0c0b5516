"""The captioner whose requests go into files, and whose answers come in others: it sends nothing by itself.

What no file answers is requested at an endpoint only where `batch_rest=online` asks for that.
"""

from __future__ import annotations

from concurrent.futures import Future
from functools import cached_property

from regioncap.captioners.base import CaptionRequest, CaptionResult
from regioncap.captioners.phrasing import Phrasing
from regioncap.captioners.vlm import OpenAICaptioner

ASSUMED_STRUCTURE = "regex"
"""Where no server can be tried out: `vllm run-batch` takes it, and what vLLM enforces best."""


NO_RESULT = "no result file has captions for regions {}; with a higher max_repairs they are written into another file"


class FileCaptioner(OpenAICaptioner):
    """See `regioncap.captioners.base.Captioner`."""

    @cached_property
    def wording(self) -> Phrasing:
        """How requests in files are phrased. Nobody can be asked what the server enforces, so it is what is set."""
        structure = self._config.structure
        return Phrasing.of(self._config, ASSUMED_STRUCTURE if structure == "auto" else structure)

    def get_ready(self) -> None:
        """Nothing is sent before all files are answered, and then only if anything is missing."""

    def submit(self, request: CaptionRequest) -> Future[CaptionResult]:
        """Ask for what no file answered, where that may be asked online; else there is no caption, unless another run
        asks for it."""
        if self._config.rest_online:
            return super().submit(request)
        done: Future[CaptionResult] = Future()
        if request.claim is not None and not request.claim():
            done.set_result(CaptionResult({}, elsewhere=True))
        else:
            done.set_result(
                CaptionResult({}, code="captions_incomplete", message=NO_RESULT.format(list(request.wanted)))
            )
        return done
