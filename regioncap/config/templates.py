"""Prompt templates: the default texts, and what a template may hold."""

from __future__ import annotations

import string

SYSTEM_PROMPT = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions."
)
PROMPT = (
    "Describe the content of each marked region in the image. "
    "There are {num_regions} regions: <region1> to <region{num_regions}>."
)
"""Both as in DataFlow's operator `ImageRegionCaptionGenerate`."""

FOCAL_PROMPT = (
    "The first picture has numbered regions; the second shows <region{n}> of it closer. "
    "Describe the content of <region{n}>."
)

PROMPT_WITH_BOXES = (
    "Describe the content of each marked region in the image. "
    "There are {num_regions} regions, each with its box as {box_form}: {regions}."
)
PROMPT_OF_BOXES = (
    "Describe the content of each of these regions of the image, given as {box_form}. "
    "There are {num_regions} regions: {regions}."
)
FOCAL_PROMPT_OF_BOXES = (
    "The second picture shows a region of the first one closer: {regions}, given as {box_form}. "
    "Describe the content of <region{n}>."
)
REGION_PROMPT, REGION_PROMPT_WITH_BOX = "<region{n}>", "<region{n}> {box}"

EVERY_OBJECT = "every object that is worth a caption"
"""What is looked for where `find` names nothing."""

FIND_PROMPT = (
    "Find {find} in the image. Answer with a JSON list and nothing else: for each one found an object "
    '{{"{box_key}": {box_form}, "label": "what it is"}}. Answer with [] if there is none.'
)

TEMPLATES = ("system_prompt", "prompt", "focal_prompt", "region_prompt")
"""Names of the settings that are templates."""

BUILT_IN_NAMES = {
    "system_prompt": frozenset({"num_regions", "regions"}),
    "prompt": frozenset({"num_regions", "regions"}),
    "focal_prompt": frozenset({"num_regions", "regions", "n"}),
    "region_prompt": frozenset({"n"}),
}
"""Names that are filled in for every row, by template; all others are keys of the row or of the region."""

BOX_NAMES = {**dict.fromkeys(TEMPLATES, frozenset({"box_form"})), "region_prompt": frozenset({"box", "box_form"})}
"""Names that are filled in besides where coordinates are given: a region's box, and in which form it is."""

FIND_TEMPLATES = ("find", "find_prompt")
"""Names of the settings that are templates of the question for a picture's regions."""

FIND_NAMES = {"find": frozenset[str](), "find_prompt": frozenset({"find", "box_form", "box_key", "max_boxes"})}
"""Names that are filled in there, by template; all others are keys of the row."""


def template_names(template: str, field: str) -> tuple[str, ...]:
    """The names that a prompt template requires, in order of appearance, each once.

    Raises ValueError naming `field` unless the template consists of text and `{name}`s. Dots lead into the row.

    >>> template_names("{num_regions} things: {label}", "prompt")
    ('num_regions', 'label')
    """
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ValueError(f"{field}: {error} in {template!r}; write literal braces as {{{{ and }}}}") from None
    for name in names:
        if not name or name.isdigit():
            raise ValueError(f"{field}: expected a name in every pair of braces, got {{{name}}} in {template!r}")
        if "[" in name:
            raise ValueError(f"{field}: expected names such as {{label}} or {{meta.title}}, got {{{name}}}")
    return tuple(dict.fromkeys(names))
