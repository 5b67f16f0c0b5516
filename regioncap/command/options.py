"""The config's fields as flags of a command: their names, kinds, help texts and headings."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from regioncap.config.files import make_config, read_config_file
from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


def flag_of(name: str) -> str:
    """The flag of a config field: `max_boxes` has `--max-boxes`."""
    return "--" + name.replace("_", "-")


def _option(name: str) -> Callable[[F], F]:
    field, group = RegionCapConfig.model_fields[name], RegionCapConfig.use_of(name).heading
    kind = _inner(field.annotation)
    shown = "" if field.default in (None, "", ()) else f" Default: {_shown(field.default)}."
    text = f"{field.description}{shown}"
    if kind is bool:
        flag = f"{flag_of(name)}/{flag_of('no_' + name)}"
        return click.option(flag, name, cls=_Grouped, group=group, default=None, help=text)
    if kind is tuple:
        given = f"{text} May be given more than once."
        return click.option(flag_of(name), name, cls=_Grouped, group=group, multiple=True, help=given)
    choices = get_args(kind) if get_origin(kind) is Literal else None
    taken: Any = click.Choice([str(choice) for choice in choices]) if choices else _CLICK_TYPES[kind]
    return click.option(flag_of(name), name, cls=_Grouped, group=group, type=taken, default=None, help=text)


_CLICK_TYPES: dict[Any, click.ParamType[Any]] = {int: click.INT, float: click.FLOAT, str: click.STRING}


def _inner(annotation: Any) -> Any:
    """`int` of `int | None`."""
    if get_origin(annotation) is tuple:
        return tuple
    if isinstance(annotation, types.UnionType):
        return next(kind for kind in get_args(annotation) if kind is not type(None))
    return annotation


def _shown(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


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
    config = click.option("--config", "config_file", cls=_Grouped, group="Run", metavar="FILE", help=CONFIG_HELP)
    command = config(command)
    for name in reversed([name for name in RegionCapConfig.fields_by_heading() if name != "input"]):
        command = _option(name)(command)
    return command


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


def config_from(source: str | None, config_file: str | None, flags: dict[str, Any]) -> RegionCapConfig:
    """The config that an input, a file of settings and flags make; flags win. Raises UsageError, ConfigError."""
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    if source is not None:
        given["input"] = source
    values = {**(read_config_file(config_file) if config_file else {}), **given}
    if "input" not in values and not {"input_jsonl_path", "first_entry_file_name"} & set(values):
        raise UsageError("expected an input: regioncap run INPUT, or `input` in the --config file")
    return make_config(**values)
