"""A captioner of the user's behind the contract of ours: what a plugin need not care for is done here.

Its answers are kept as they come and never asked for twice, at most `max_in_flight` are asked for at once, missing
regions are asked for again (`max_repairs`), and `max_requests` and `requests_per_minute` hold.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from regioncap.captioners.base import CaptionerOptions, CaptionRequest, CaptionResult, MarkGroup, Prompt
from regioncap.captioners.budget import Budget
from regioncap.captioners.caption_task import CaptionTask
from regioncap.captioners.plugin_captions import WrongReturn, captions_in
from regioncap.captioners.prompts import Prompts
from regioncap.captioners.row_prompt import prompt_of, templates_of
from regioncap.config.request_parts import as_object
from regioncap.errors import BudgetReached, RowReject, Stopped, UsageError
from regioncap.plugin_loading import Plugin
from regioncap.records import Counts, cut_text
from regioncap.row_work import plugin_work, raised_by


class PluginCaptioner:
    """See `regioncap.captioners.base.Captioner`; `regioncap.plugins.Captioner` is what the plugin has to be."""

    def __init__(self, plugin: Plugin, options: CaptionerOptions) -> None:
        config = options.config
        self._plugin, self._config, self._count = plugin, config, options.count
        self._arguments = {**({"model": config.model} if config.model else {}), **config.captioner_options}
        self.name = plugin.name
        self.paid = plugin.attribute("paid", True)
        self._prompts = Prompts.of(config)
        self._made = _made(plugin, self._arguments)
        self._caption = _caption_function(plugin, self._made)
        self.model = self._model()
        self._identity = self._asked_identity()
        self._turn: contextlib.AbstractContextManager[Any] = (
            contextlib.nullcontext() if plugin.attribute("thread_safe", True) else threading.Lock()
        )
        self._budget = Budget(
            options.count, max_requests=config.max_requests, requests_per_minute=config.requests_per_minute,
            allowance=options.allowance,
        )  # fmt: skip
        self._budget_turn = threading.Lock()
        self._stopping = threading.Event()
        threads = config.max_in_flight or config.threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="captioner")
        self._rows: set[Future[CaptionResult]] = set()
        options.allowance.wanted = lambda: min(threads, len(self._rows))

    def check(self) -> None:
        """Have the plugin check itself, if it can. Raises UsageError."""
        self._ask("check")

    def identity(self) -> dict[str, Any]:
        """The plugin with its versions, and the model as the plugin identifies it; else its name and the options."""
        return self._identity

    def templates(self) -> dict[str, Any]:
        """The prompts in use, and the keys of the regions that they may name."""
        return templates_of(self._config)

    def prompt(self, request: CaptionRequest) -> Prompt:
        """The texts for all of the picture's regions. Raises RowReject `bad_row` when the row lacks a field."""
        return prompt_of(self._prompts, request)

    def get_ready(self) -> None:
        """It is ready."""

    def submit(self, request: CaptionRequest) -> Future[CaptionResult]:
        """Have a thread ask the plugin for `request.wanted`."""
        try:
            future = self._pool.submit(self._captions, request)
        except RuntimeError:  # closed
            raise Stopped from None
        self._rows.add(future)
        future.add_done_callback(self._rows.discard)
        return future

    def stop_sending(self) -> None:
        """Ask the plugin for nothing more."""
        self._stopping.set()

    def drain(self) -> None:
        """Ask for nothing more; returns when the plugin has answered what it was asked for."""
        self.stop_sending()
        wait(list(self._rows))

    def close(self) -> None:
        """End the threads, and close the plugin if it can be closed; calls that go on are not waited for."""
        self._stopping.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        made, self._made = self._made, None
        close = getattr(made, "close", None)
        if callable(close):
            with contextlib.suppress(Exception, SystemExit):
                close()

    # --- one row

    def _captions(self, request: CaptionRequest) -> CaptionResult:
        result = CaptionResult({})
        if request.claim is not None and not request.claim():
            return CaptionResult({}, elsewhere=True)
        for group in request.shown():
            wanted = tuple(number for number in request.wanted if number in group.regions)
            try:
                if wanted:
                    self._caption_group(request, group, wanted, result)
            except RowReject as reject:
                result.code, result.message = reject.code, reject.message
                result.model_failure = reject.code in ("caption_failed", "captions_incomplete")
        if result.model_failure and request.keep is not None:
            request.keep(result)  # so that it is known how often this row failed
        return result

    def _caption_group(
        self, request: CaptionRequest, group: MarkGroup, wanted: tuple[int, ...], result: CaptionResult
    ) -> None:
        """Add the captions of `wanted`, all in one picture, to `result`. Raises RowReject for those that are missing,
        BudgetReached, Stopped."""
        problems: list[str] = []
        for attempt in range(1 + self._config.max_repairs):
            captions, problems = self._answer(self._task(request, group, wanted))
            result.captions.update(captions)
            result.usage["requests"] = result.usage.get("requests", 0) + 1
            if attempt and captions:
                result.usage["repaired"] = result.usage.get("repaired", 0) + len(captions)
            if request.keep is not None:
                request.keep(result)
            wanted = tuple(number for number in wanted if number not in captions)
            if not wanted:
                return
        raise RowReject("captions_incomplete", f"{self._plugin.title}: {cut_text('; '.join(problems))}")

    def _answer(self, task: CaptionTask) -> tuple[dict[int, str], list[str]]:
        self._admit()
        try:
            return self._ask_for(task)
        finally:
            self._budget.end()

    def _ask_for(self, task: CaptionTask) -> tuple[dict[int, str], list[str]]:
        self._count(Counts(requests=1))
        with plugin_work(self._plugin.title, self._plugin.module), self._turn:
            returned = self._caption(task)
            try:
                return captions_in(returned, task.regions)
            except WrongReturn as wrong:
                raise RowReject("internal_error", f"{self._plugin.title} returned {wrong}") from None

    def _admit(self) -> None:
        """Return when the limits allow a request. Raises BudgetReached, Stopped."""
        while not self._stopping.is_set():
            with self._budget_turn:
                exceeded = self._budget.exceeded_by(0)
                if exceeded is not None:
                    raise BudgetReached(f"{exceeded}. What was answered is kept; raise it to go on from there.")
                seconds = self._budget.take(time.monotonic())
                if seconds <= 0:
                    return
            self._stopping.wait(seconds)
        raise Stopped

    def _task(self, request: CaptionRequest, group: MarkGroup, wanted: tuple[int, ...]) -> CaptionTask:
        texts = self.prompt(request)
        return CaptionTask(
            name=request.name, regions=wanted, bbox=[list(box) for box in request.bbox], width=request.width,
            height=request.height, read_image=request.image, read_marked=group.marked, prompt=texts.text,
            system_prompt=texts.system, fields=dict(request.fields),
            region_fields=[dict(fields) for fields in request.region_fields], again=request.again,
            max_image_pixels=self._config.max_image_pixels,
        )  # fmt: skip

    # --- the plugin as a whole

    def _ask(self, name: str) -> Any:
        """What the plugin's method `name` returns; None if it has none. Raises UsageError for what it raises."""
        method: Callable[[], Any] | None = getattr(self._made, name, None)
        try:
            return method() if callable(method) else None
        except UsageError:
            raise
        except (Exception, SystemExit) as error:
            raise UsageError(raised_by(f"{self._plugin.title}: its {name}()", error, self._plugin.module)) from None

    def _model(self) -> str:
        model = getattr(self._made, "model", None) or self._arguments.get("model") or self._plugin.name
        return cut_text(model if isinstance(model, str) else self._plugin.name)

    def _asked_identity(self) -> dict[str, Any]:
        own = self._ask("identity")
        asked: Mapping[str, Any] = {"identity": own} if own is not None else {
            "model": self.model, "options": self._arguments
        }  # fmt: skip
        try:
            parts: dict[str, Any] = as_object({"captioner": "plugin", **self._plugin.key_parts(), **asked})
        except ValueError as error:
            raise UsageError(
                f"{self._plugin.title}: expected its identity() to be JSON values, not so: {error}"
            ) from None
        return parts


def _made(plugin: Plugin, arguments: Mapping[str, Any]) -> Any:
    plugin.check_options(arguments, None)
    return plugin.make(arguments)


def _caption_function(plugin: Plugin, made: Any) -> Callable[[CaptionTask], Any]:
    """The method `caption` of an instance, or the function itself. Raises UsageError if there is neither."""
    function: Any = getattr(made, "caption", None) if isinstance(plugin.target, type) else made
    plugin.check_called(function, "caption(self, task)")
    return function  # type: ignore[no-any-return]
