"""What follows from the settings: values that several parts of RegionCap derive from the fields in the same way."""

from __future__ import annotations

import itertools
from typing import Literal, get_args

from regioncap.config.coordinates import Coordinates, coordinates_of_model
from regioncap.config.fields_run import RunSettings
from regioncap.config.plugin_names import CAPTIONER, EXTRACTOR
from regioncap.config.references import names_credential
from regioncap.config.request_parts import headers_of, query_of
from regioncap.config.templates import (
    BOX_NAMES,
    BUILT_IN_NAMES,
    FIND_NAMES,
    FIND_TEMPLATES,
    FOCAL_PROMPT,
    FOCAL_PROMPT_OF_BOXES,
    PROMPT,
    PROMPT_OF_BOXES,
    PROMPT_WITH_BOXES,
    REGION_PROMPT,
    REGION_PROMPT_WITH_BOX,
    TEMPLATES,
    template_names,
)

AuditArm = Literal["permuted", "reversed", "control"]
"""How an audit asks again: with other numbers, in reverse order, or just as before."""
AUDIT_ARMS: tuple[AuditArm, ...] = get_args(AuditArm)


class DerivedSettings(RunSettings):
    """The fields of `RegionCapConfig` with what is derived from them; not checked as a whole yet."""

    @property
    def captioner_name(self) -> str:
        """The captioner, with `auto` resolved: `openai` if there is an endpoint or requests go into files, `vllm` if
        there is only a model."""
        if self.captioner != "auto":
            return self.captioner
        if self.endpoint or self.delivery == "file":
            return "openai"
        return "vllm" if self.model else "auto"

    @property
    def rest_online(self) -> bool:
        """Whether what batches or files of requests do not answer is requested online."""
        return self.batch_rest == "online" or (self.batch_rest == "auto" and self.delivery != "file")

    @property
    def requests_folder(self) -> str:
        """Where files of requests are written: the address of a folder."""
        return self.batch_folder or f"{self.output.rstrip('/').removesuffix('.jsonl')}.requests"

    @property
    def own_captioner(self) -> bool:
        """Whether the captioner is a plugin of the user's."""
        return self.captioner not in CAPTIONER.known

    @property
    def own_extractor(self) -> bool:
        """Whether the region finder is a plugin of the user's."""
        return self.extractor not in EXTRACTOR.known

    @property
    def asks_for_regions(self) -> bool:
        """Whether a model is asked for the regions of rows without boxes."""
        return self.extractor == "vlm"

    @property
    def finder_model(self) -> str | None:
        """The name of the model that is asked for regions."""
        return self.find_model or self.model

    @property
    def finds_apart(self) -> bool:
        """Whether another model is asked for regions than for captions, or another server."""
        endpoints = self.find_endpoint or self.endpoint
        return self.asks_for_regions and (endpoints, self.finder_model) != (self.endpoint, self.model)

    @property
    def find_box_coordinates(self) -> Coordinates | None:
        """How the model that is asked for regions gives boxes; None where `auto` does not know it."""
        if self.find_coordinates == "auto":
            return coordinates_of_model(None if self.finds_apart else self.model_id, self.finder_model)
        return Coordinates.named(self.find_coordinates)

    @property
    def names_regions(self) -> bool:
        """Whether what finds regions may say what they are, as their `label`."""
        return self.own_extractor or self.asks_for_regions

    @property
    def uses_model(self) -> bool:
        """Whether captions come from a model, which is shown marked pictures and a prompt; so do those of plugins."""
        return self.captioner_name != "pixels"

    @property
    def box_columns(self) -> tuple[str, ...]:
        """The four columns that hold a box's numbers; empty if one key holds them."""
        return tuple(part.strip() for part in self.bbox_key.split(",")) if "," in self.bbox_key else ()

    @property
    def boxes_key(self) -> str:
        """The row's key for its list of boxes, once the rows of a table are grouped."""
        return "bbox" if self.box_columns else self.bbox_key

    @property
    def asks_closer(self) -> bool:
        """Whether requests may hold a closer view of a region beside the marked picture."""
        return self.prompt_mode in ("focal", "auto") or bool(self.repair_flags)

    @property
    def audit_arms(self) -> tuple[AuditArm, ...]:
        """How an audit asks for captions again. Regions that are asked for one by one have no order to reverse."""
        return ("permuted", "control") if self.prompt_mode == "focal" else AUDIT_ARMS

    @property
    def may_ask_closer(self) -> bool:
        """As `asks_closer`, also for regions whose captions people rejected; other regions are asked for as without."""
        return self.asks_closer or bool(self.edits)

    @property
    def gives_boxes(self) -> bool:
        """Whether prompts without the user's own words give the regions' boxes."""
        return self.prompt_mode in ("marks+coords", "coords")

    @property
    def draws_marks(self) -> bool:
        """Whether the model sees marks."""
        return self.prompt_mode != "coords"

    @property
    def box_coordinates(self) -> Coordinates | None:
        """How prompts give boxes; None where they give none, or where `auto` does not know the model."""
        if not self.uses_model or (self.coordinates == "none" and not self.gives_boxes):
            return None
        if self.coordinates in ("none", "auto"):
            return coordinates_of_model(self.model_id, self.model)
        return Coordinates.named(self.coordinates)

    @property
    def templates(self) -> dict[str, str]:
        """All templates by name; those that give boxes in the place of default ones that would not."""
        texts: dict[str, str] = {name: getattr(self, name) for name in TEMPLATES}
        if self.gives_boxes:
            for name, (default, with_boxes) in self._box_templates().items():
                texts[name] = with_boxes if texts[name] == default else texts[name]
        return texts

    def _box_templates(self) -> dict[str, tuple[str, str]]:
        """(default, instead of it) of the templates that give boxes, by name."""
        region = {"region_prompt": (REGION_PROMPT, REGION_PROMPT_WITH_BOX)}
        if self.draws_marks:
            return {"prompt": (PROMPT, PROMPT_WITH_BOXES), **region}
        return {"prompt": (PROMPT, PROMPT_OF_BOXES), "focal_prompt": (FOCAL_PROMPT, FOCAL_PROMPT_OF_BOXES), **region}

    def templates_in_use(self) -> dict[str, str]:
        """Those of `templates` that requests of this config may hold."""
        return {name: text for name, text in self.templates.items() if self.applies(name)}

    @property
    def prices(self) -> tuple[float, float] | None:
        """US dollars per million prompt tokens and per million completion tokens; None unless both are given."""
        if self.usd_per_m_in is None or self.usd_per_m_out is None:
            return None
        return self.usd_per_m_in, self.usd_per_m_out

    @property
    def headers(self) -> dict[str, str]:
        """The further headers of every request; their values may be references to secrets."""
        return headers_of(self.request_headers)

    @property
    def query(self) -> dict[str, str]:
        """The query parameters of every request; as `headers`."""
        return query_of(self.request_query)

    @property
    def sends_credentials(self) -> bool:
        """Whether requests have credentials besides a key."""
        return any(map(names_credential, (*self.headers, *self.query)))

    def prompt_fields(self) -> tuple[str, ...]:
        """The row's own keys that the prompts in use name, sorted."""
        return tuple(sorted(self.keys_in_templates()))

    def keys_in_templates(self) -> dict[str, str]:
        """The row's own keys that the prompts in use name, each with the first template that does."""
        found: dict[str, str] = {}
        closer = {"focal_prompt": self.templates["focal_prompt"]} if self.uses_model and self.may_ask_closer else {}
        for name, text in (self.templates_in_use() | closer).items():
            ours = BUILT_IN_NAMES[name] | (BOX_NAMES[name] if self.box_coordinates is not None else frozenset())
            for key in template_names(text, name):
                if key not in ours and key not in self.region_fields:
                    found.setdefault(key, name)
        return found

    def keys_in_question(self) -> dict[str, str]:
        """The row's own keys that the question for a picture's regions names, each with the first template that
        does."""
        found: dict[str, str] = {}
        for name in FIND_TEMPLATES if self.asks_for_regions else ():
            for key in template_names(getattr(self, name), name):
                if key not in FIND_NAMES[name]:
                    found.setdefault(key, name)
        return found

    @property
    def carried_keys(self) -> tuple[str, ...]:
        """The row's own keys whose values are carried from step to step: prompts name them, or they hold a value for
        each region."""
        return (*sorted(self.keys_in_templates() | self.keys_in_question()), *self.region_fields)

    def groups_of(self, regions: int) -> list[tuple[int, ...]]:
        """The numbers, from 1, of this many regions, grouped by the picture that shows them.

        At most `marks_per_request` per picture, spread evenly; all in one for `pixels`, which sees no marks.

        >>> from regioncap.config.model import RegionCapConfig
        >>> config = RegionCapConfig(input="a", captioner="openai", endpoint=("http://a/v1",), model="m")
        >>> config.groups_of(12)
        [(1, 2, 3, 4, 5, 6), (7, 8, 9, 10, 11, 12)]
        """
        most = self.marks_per_request if self.uses_model else regions
        count = max(1, -(-regions // max(most, 1)))
        ends = [regions * number // count for number in range(count + 1)]
        return [tuple(range(first + 1, last + 1)) for first, last in itertools.pairwise(ends)]
