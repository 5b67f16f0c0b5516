"""What follows from the settings: values that several parts of RegionCap derive from the fields in the same way."""

from __future__ import annotations

import itertools

from regioncap.config.fields_run import RunSettings
from regioncap.config.plugin_names import CAPTIONER, EXTRACTOR
from regioncap.config.references import names_credential
from regioncap.config.request_parts import headers_of, query_of
from regioncap.config.templates import BUILT_IN_NAMES, template_names


class DerivedSettings(RunSettings):
    """The fields of `RegionCapConfig` with what is derived from them; not checked as a whole yet."""

    @property
    def captioner_name(self) -> str:
        """The captioner, with `auto` resolved: `openai` if there is an endpoint, `vllm` if there is only a model."""
        if self.captioner != "auto":
            return self.captioner
        if self.endpoint:
            return "openai"
        return "vllm" if self.model else "auto"

    @property
    def own_captioner(self) -> bool:
        """Whether the captioner is a plugin of the user's."""
        return self.captioner not in CAPTIONER.known

    @property
    def own_extractor(self) -> bool:
        """Whether the region finder is a plugin of the user's."""
        return self.extractor not in EXTRACTOR.known

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
        return self.prompt_mode != "marks" or bool(self.repair_flags)

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
        prompts = self.values_read_by("templates")
        named = {key for name, text in prompts.items() for key in template_names(text, name)}
        return tuple(sorted(named - BUILT_IN_NAMES - set(self.region_fields)))

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
