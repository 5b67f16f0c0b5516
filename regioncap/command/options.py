"""The config's fields as flags of a command: their names, kinds, help texts and headings."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from regioncap.config.described import with_names
from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.run.credentials import filesystems
from regioncap.storage.filesystem import Filesystems, Place

F = TypeVar("F", bound=Callable[..., Any])


def flag_of(name: str) -> str:
    """The flag of a config field: `max_boxes` has `--max-boxes`."""
    return "--" + name.replace("_", "-")


_FLAGS = {name: flag_of(name) for name in RegionCapConfig.model_fields}


def _option(name: str) -> Callable[[F], F]:
    """The option of a config field. Its default is None: what is not given is left to the config."""
    kind = _kind(RegionCapConfig.model_fields[name].annotation)
    flag, more = flag_of(name), _CLICK_TYPES.get(kind, {})
    if kind is bool:
        flag = f"{flag}/{flag_of('no_' + name)}"
    if get_origin(kind) is Literal:
        more = {"type": click.Choice([str(choice) for choice in get_args(kind)])}
    group = RegionCapConfig.use_of(name).heading
    return click.option(flag, name, cls=_Grouped, group=group, help=_help(name), **{"default": None, **more})


_CLICK_TYPES: dict[Any, dict[str, Any]] = {
    int: {"type": click.INT},
    float: {"type": click.FLOAT},
    str: {"type": click.STRING},
    tuple: {"multiple": True},
    dict: {"type": click.STRING, "metavar": "JSON"},
}


def _kind(annotation: Any) -> Any:
    """`int` of `int | None`, `tuple` of `tuple[str, ...]`."""
    if get_origin(annotation) in (tuple, dict):
        return get_origin(annotation)
    if isinstance(annotation, types.UnionType):
        return next(kind for kind in get_args(annotation) if kind is not type(None))
    return annotation


def _help(name: str) -> str:
    """A field's description with its default, as a sentence; other settings in it are called by their flags."""
    field = RegionCapConfig.model_fields[name]
    text = with_names(str(field.description), _FLAGS)
    if _kind(field.annotation) is tuple:
        text += " May be given more than once."
    if field.default in (None, "", (), {}):
        return text
    return f"{text} Default: {_shown(field.default).removesuffix('.')}."


def _shown(default: Any) -> str:
    """A default as it is given on the command line."""
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, tuple):
        return ", ".join(default)
    return f"{default:g}" if isinstance(default, float) else str(default)


class _Grouped(click.Option):
    """An option that says under which heading of the help it stands."""

    def __init__(self, *args: Any, group: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help has its options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group, in the order of their headings."""
        groups: dict[str, list[tuple[str, str]]] = {}
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        for option in sorted(options, key=lambda option: not isinstance(option, _Grouped)):
            record = option.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(option, "group", "Other"), []).append(record)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)


def config_flags(command: F) -> F:
    """Give a click function a flag for every config field but `input`, and `--config`."""
    return config_flags_without()(command)


def config_flags_without(*names: str) -> Callable[[F], F]:
    """As `config_flags`, without the flags of these fields: the command has its own of that name."""

    def decorate(command: F) -> F:
        command = config(command)
        fields = [name for name in RegionCapConfig.fields_by_heading() if name not in ("input", *names)]
        return fields_as_flags(fields)(command)

    config = click.option("--config", "config_file", cls=_Grouped, group="Run", metavar="FILE", help=CONFIG_HELP)
    return decorate


def storage_flags(command: F) -> F:
    """Give a click function the flags that say where a cache is."""
    return fields_as_flags(RegionCapConfig.fields_read_by("storage"))(command)


def fields_as_flags(names: Sequence[str]) -> Callable[[F], F]:
    """Give a click function a flag for each of the config fields `names`, in this order."""

    def decorate(command: F) -> F:
        for name in reversed(names):
            command = _option(name)(command)
        return command

    return decorate


CONFIG_HELP = "TOML or YAML file of settings, by the names of the flags (max_boxes: 5)."


def given(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags that were given on the command line."""
    return {name: value for name, value in flags.items() if value not in (None, ())}


def config_from(source: str | None, config_file: str | None, flags: dict[str, Any]) -> RegionCapConfig:
    """The config that an input, a file of settings and flags make; flags win. Raises UsageError, ConfigError."""
    return RegionCapConfig(**settings_from(source, config_file, flags))


def settings_from(source: str | None, config_file: str | None, flags: dict[str, Any]) -> dict[str, Any]:
    """The settings that an input, a file of settings and flags give; flags win. Raises UsageError, ConfigError."""
    values = {**_settings_in(config_file), **given(flags)}
    if source is not None:
        values["input"] = source
    if "input" not in values and not {"input_jsonl_path", "first_entry_file_name"} & set(values):
        raise UsageError("expected an input: regioncap run INPUT, or `input` in the --config file")
    return values


def _settings_in(config_file: str | None) -> dict[str, Any]:
    if not config_file:
        return {}
    from regioncap.config.files import read_config_file  # imports a library for YAML

    return read_config_file(config_file)


def files_from(flags: dict[str, Any]) -> Filesystems:
    """The filesystems that the `storage_flags` describe. Raises UsageError for a block that is not there."""
    return filesystems(flags["s3_endpoint_url"], flags["s3_region"], flags["storage_block"])


def cache_place(flags: dict[str, Any]) -> Place:
    """The cache that the `storage_flags` name."""
    return files_from(flags).place(_value_or_default("cache_path", flags))


def file_name_prefix(flags: dict[str, Any]) -> str:
    """The prefix of step files that the `storage_flags` name."""
    return _value_or_default("file_name_prefix", flags)


def _value_or_default(name: str, flags: dict[str, Any]) -> str:
    return str(flags[name] or RegionCapConfig.model_fields[name].default)
