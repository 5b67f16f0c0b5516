"""Write settings.md and commands.md of this folder, from the config and the commands: make reference

Everything in them is said once, in the definitions of the settings (regioncap/config/fields_*.py) and of the commands
(regioncap/command/); only what a change of a setting costs is said here, for each role.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from regioncap.command.app import app
from regioncap.command.options import flag_of
from regioncap.config.model import RegionCapConfig
from regioncap.config.roles import HEADINGS, Role

CONSEQUENCES: dict[Role, tuple[str, str]] = {
    "source": ("which rows and images are read, and how", "rows that are new or different"),
    "regions": ("which regions are captioned, and their numbers", "regions that are new or numbered differently"),
    "marks": ("what the model sees", "captions of pictures that look different"),
    "words": ("the text of the captions", "all captions that the setting concerns"),
    "effort": ("how hard is tried", "nothing but rows that failed"),
    "limits": ("what is refused or ends a run", "nothing but rows that were refused"),
    "place": ("where things are and what does the work", "nothing"),
    "look": ("the form of the results", "nothing"),
}
"""By role: what its settings decide, and what is requested again when one is changed."""

KINDS: dict[str, str] = {"string": "text", "boolean": "yes or no"}
"""What the types of JSON schema are called, where another word is plainer."""

PLAIN = str.maketrans({"<": "&lt;", "*": r"\*"})
"""What Markdown would take for its own in the text of a help."""


def settings() -> str:
    """The page of all settings, by heading."""
    parts = [
        "# Settings",
        "Every setting is a flag of `regioncap run`, a key of the file for `--config` and an argument of "
        "`region_caption` with the same name, and, under the title in bold, a field in the form of Prefect's "
        "`manual-all`. Only `input` is required. The command takes it as its argument; of the rest, flags take "
        "precedence over the file.",
        "What is requested again after a change depends on what the setting decides; captions for earlier values stay "
        "in the cache:",
        "| | decides | a change requests again |\n|---|---|---|\n"
        + "\n".join(f"| *{role}* | {decides} | {again} |" for role, (decides, again) in CONSEQUENCES.items()),
    ]
    for heading in HEADINGS:
        names = [
            name for name in RegionCapConfig.fields_by_heading() if RegionCapConfig.use_of(name).heading == heading
        ]
        parts += [f"## {heading}", *(part for name in names for part in _setting(name))] if names else []
    return _page(parts)


def _setting(name: str) -> Iterator[str]:
    field, schema = RegionCapConfig.model_fields[name], SCHEMA[name]
    yield f"### `{name}`"
    yield f"**{field.title}**: {str(field.description).translate(PLAIN)}"
    facts = [f"`{_flag(name)}`", _kind(schema), *_default(field.default), f"*{RegionCapConfig.use_of(name).role}*"]
    yield " · ".join(facts)


def _flag(name: str) -> str:
    if name == "input":
        return "INPUT"
    return f"{flag_of(name)}`, `{flag_of('no_' + name)}" if SCHEMA[name].get("type") == "boolean" else flag_of(name)


def _kind(schema: dict[str, Any]) -> str:
    """The values that a JSON schema allows, in words."""
    schema = schema.get("anyOf", [schema])[0]
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return "list: " + _kind(schema["items"])
    kind: str = schema["type"]
    return KINDS.get(kind, kind) + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        above = f", above {schema['exclusiveMinimum']:,}"
        return above if high is None else f"{above}, at most {high:,}"
    if low is None:
        return ""
    return f", {low:,} to {high:,}" if high is not None else f", at least {low:,}"


def _default(value: Any) -> Iterator[str]:
    if isinstance(value, bool):
        yield f"default: {'yes' if value else 'no'}"
    elif isinstance(value, str | int | float | tuple) and value not in ("", ()):
        yield f"default: `{', '.join(value) if isinstance(value, tuple) else value}`"


SCHEMA: dict[str, Any] = RegionCapConfig.model_json_schema()["properties"]


def commands() -> str:
    """The page of all commands, with the options that are no settings."""
    parts = ["# Commands", "Each explains itself with `--help`."]
    for name, command in app.commands.items():
        parts += _command(name, command)
    return _page(parts)


def _command(name: str, command: click.Command) -> Iterator[str]:
    yield f"## regioncap {name}"
    context = click.Context(command, info_name=f"regioncap {name}")
    yield f"```text\nregioncap {name} {' '.join(command.collect_usage_pieces(context))}\n```"
    yield inspect.cleandoc(command.help or "").replace("\b\n", "").translate(PLAIN)
    options = [option for option in command.params if isinstance(option, click.Option)]
    shared = [str(option.name) for option in options if _is_setting(option)]
    own = [option for option in options if not _is_setting(option)]
    if own:
        yield "| option | meaning |\n|---|---|\n" + "\n".join(_row(option, context) for option in own)
    if {*shared, *(option.name for option in own)} >= RegionCapConfig.model_fields.keys() - {"input"}:
        yield "Every [setting](settings.md) is an option, too."
    elif shared:
        yield "Settings: " + ", ".join(f"[`{flag_of(each)}`](settings.md#{each})" for each in shared) + "."


def _is_setting(option: click.Option) -> bool:
    """Whether the option was made of a setting: `--rows` of `report` only has the name of one."""
    return hasattr(option, "group") and option.name in RegionCapConfig.model_fields


def _row(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    assert record is not None
    return f"| `{record[0].replace('|', ' / ')}` | {' '.join(record[1].split()).translate(PLAIN)} |"


def _page(parts: list[str]) -> str:
    return "<!-- Generated by docs/reference.py: make reference -->\n\n" + "\n\n".join(parts) + "\n"


PAGES: dict[str, Callable[[], str]] = {"settings.md": settings, "commands.md": commands}
"""The generated pages of this folder."""

if __name__ == "__main__":
    for page, text in PAGES.items():
        Path(__file__).with_name(page).write_text(text(), encoding="utf-8")
