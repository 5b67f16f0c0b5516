"""Trying an endpoint out before the rows: what it can be held to, and whether the largest request fits it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from regioncap.captioners.advice import advice_for
from regioncap.captioners.budget import Budget
from regioncap.captioners.chat import ABSENT, ChatRequest, ChatResponse, Ending
from regioncap.captioners.dispatch import Dispatcher
from regioncap.captioners.endpoint import Endpoint
from regioncap.captioners.pictures import typical_picture
from regioncap.captioners.prompts import Prompts
from regioncap.captioners.remembered import Findings, RememberedFindings
from regioncap.captioners.retrying import Retrying
from regioncap.captioners.row_requests import largest_request, largest_size
from regioncap.captioners.server_errors import RESUMES, EndpointFailed, Refused
from regioncap.captioners.structure import FORM_QUESTION
from regioncap.captioners.trial import PROBE_CHARS, Strand, Trial
from regioncap.config.model import RegionCapConfig
from regioncap.masking import outside_text

PROBE_PIXELS = 4096
"""Of the picture that goes with a question whose answer is its form."""

FEW_REQUESTS = 100
"""Where the run may send no more than these, none is spent on a question that another answer may make needless."""

logger = logging.getLogger("regioncap")


class Probe:
    """See the module's text. All methods run on the session's event loop; what they send is in the budget.

    `on_reached`: called with an endpoint that is there, before it is tried out. `spawn`: runs a coroutine beside
    others.
    """

    def __init__(
        self,
        config: RegionCapConfig,
        prompts: Prompts,
        budget: Budget,
        *,
        dispatcher: Dispatcher,
        retrying: Retrying,
        remembered: RememberedFindings,
        spawn: Callable[[Strand], asyncio.Task[None]],
        on_reached: Callable[[Endpoint], None],
    ) -> None:
        self._config = config
        self._prompts = prompts
        self._budget = budget
        self._dispatcher = dispatcher
        self._retrying = retrying
        self._remembered = remembered
        self._spawn = spawn
        self._on_reached = on_reached
        self._largest: ChatRequest | None = None

    async def __call__(self, endpoint: Endpoint, *, again: bool = False) -> None:
        """Find out how the endpoint is held to a form, and whether it takes the largest request that the config allows;
        or know it from an earlier run, unless an answer contradicted that and it is tried out `again`.

        Raises EndpointFailed for a server that is not there or refuses, RunStopped.
        """
        known = await self._retrying(endpoint, endpoint.resolve_base_url)
        names = [outside_text(name, endpoint.http.secrets, max_chars=80) for name in known[:8]]
        listed = f" It lists: {', '.join(names)}." if known and endpoint.model not in known else ""
        if not again and await self._recall(endpoint):
            logger.info("%s: structure %s, as an earlier run found out", endpoint.url, endpoint.structure)
            return
        self._on_reached(endpoint)
        try:
            await self._try_out(endpoint)
        except Refused as refused:
            if refused.status in (403, 404):
                raise EndpointFailed(f"{endpoint.failed(refused)}{listed}") from None
            advice = advice_for(refused.reason)
            raise EndpointFailed(
                f"{endpoint.url} refused the largest request that these settings allow ({refused.reason}). "
                f"{advice if advice and '--max-' not in advice else self._sizes(advice)}{listed} {RESUMES}"
            ) from None
        except EndpointFailed as error:
            raise EndpointFailed(f"{error}{listed}") from None
        logger.info("%s: structure %s", endpoint.url, endpoint.structure)

    def _sizes(self, advice: str) -> str:
        config = self._config
        return (
            f"{advice}{' ' if advice else ''}The picture has max_pixels={config.max_pixels:,}, the answer "
            f"max_tokens={config.max_tokens:,}, the prompt max_boxes={config.max_boxes} regions."
        )

    async def send_known_good(self, endpoint: Endpoint) -> None:
        """Send the request that the endpoint answered when it was tried out. Raises TryAgain, Refused,
        EndpointFailed."""
        request, form = await self._largest_request(), endpoint.form
        await self._dispatcher.wait_beside()
        await self._ask(endpoint, endpoint.body(request, form=form, max_chars=PROBE_CHARS), request, form)

    async def wait_until_there(self, endpoint: Endpoint, pause: float) -> None:
        """Returns when something answers at the endpoint, asked every `pause` seconds. Raises RunStopped when the run
        ends before."""
        while True:
            await self._dispatcher.pause(pause)
            if await endpoint.is_there():
                return

    # --- trying out

    async def _try_out(self, endpoint: Endpoint) -> None:
        """Raises Refused, EndpointFailed, RunStopped."""
        setting, few = self._config.structure, self._config.max_requests
        question = await asyncio.to_thread(_question)
        trial = Trial(
            endpoint, await self._largest_request(), question,
            ask=self._ask, retrying=self._retrying, dispatcher=self._dispatcher, spawn=self._spawn,
        )  # fmt: skip
        if setting == "auto":
            await trial.run(at_once=few is None or few > FEW_REQUESTS)
        else:
            await trial.fits(setting)
        assert trial.answer is not None
        structure = trial.structure if setting == "auto" else setting
        _check_ending(endpoint, trial.answer, structure)
        endpoint.structure = structure
        await self._remember(endpoint, trial.answer)

    async def _largest_request(self) -> ChatRequest:
        if self._largest is None:
            self._largest = await asyncio.to_thread(largest_request, self._config, self._prompts)
        return self._largest

    async def _ask(self, endpoint: Endpoint, body: dict[str, Any], request: ChatRequest, form: str) -> ChatResponse:
        """See `AskEndpoint`."""
        self._budget.record_request()
        response = await endpoint.ask(body, form)
        self._budget.record_response(response, request)
        endpoint.check(response)
        return response

    # --- from run to run

    async def _recall(self, endpoint: Endpoint) -> bool:
        """Whether an earlier run found out all that must be known; the endpoint knows it then."""
        found = await asyncio.to_thread(self._remembered.get, endpoint.given_url, endpoint.model)
        if found is None or found.asked != self._config.structure:
            return False
        if found.lists_another(endpoint.listed) or not found.covers(largest_size(self._config, self._prompts)):
            return False
        last = ChatResponse("", found.finish, accepted=found.finish in endpoint.accepted_words)
        if not tells_its_end(last, found.structure):
            return False
        endpoint.structure, endpoint.dialect.tokens_name, endpoint.remembered = found.structure, found.tokens_name, True
        return True

    async def _remember(self, endpoint: Endpoint, answer: ChatResponse) -> None:
        findings = Findings(
            self._config.structure, endpoint.form, endpoint.dialect.tokens_name,
            outside_text(answer.word, endpoint.http.secrets, max_chars=80),
            largest_size(self._config, self._prompts), endpoint.listed,
        )  # fmt: skip
        await asyncio.to_thread(self._remembered.put, endpoint.given_url, endpoint.model, findings)


def _question() -> ChatRequest:
    return ChatRequest("", FORM_QUESTION, (typical_picture(PROBE_PIXELS),), (1,))


def tells_its_end(response: ChatResponse, structure: str | None) -> bool:
    """Whether answers that end like this one say whether they are complete; JSON does so by its last brace."""
    ending = response.ending
    return ending is not Ending.UNKNOWN and (ending is not Ending.ABSENT or structure == "json_schema")


def _check_ending(endpoint: Endpoint, response: ChatResponse, structure: str | None) -> None:
    """Raises EndpointFailed when the server's answers do not say whether they are complete."""
    if not tells_its_end(response, structure):
        given = "no finish_reason" if response.word == ABSENT else f"the finish_reason {response.word[:40]!r}"
        raise EndpointFailed(
            f"{endpoint.url} ends its answers with {given}, which does not say whether they are complete: half a "
            f"caption would look like a whole one. If it stands for complete answers, set --accept-finish-reasons "
            f"{response.word[:40]} and rerun."
        )
