"""Names become code of the user's, or an error that says what is wrong with whose."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regioncap import plugin_loading
from regioncap.config.model import RegionCapConfig
from regioncap.config.plugin_names import CAPTIONER, EXPORT, EXTRACTOR
from regioncap.errors import ConfigError, UsageError
from regioncap.plugin_loading import Plugin, find_plugin, import_from
from regioncap.registry import CAPTIONERS, EXPORTS, EXTRACTORS, plugin_parts
from regioncap.vision.plugin_finder import PluginFinder
from tests.support.plugins import importable, install, write_package

FINDERS = """
number = 3


def find(image, size=640):
    return []


find.version = 7


class Detector:
    version = "2"

    def __init__(self, model):
        open(model).close()

    def __call__(self, image):
        return []


class Silent:
    pass


async def later(image):
    return []


def odd(image):
    return []


odd.version = [1]
odd.thread_safe = "no"
odd.long_side = -5
"""
BROKEN = "import math\nimport no_such_library\n"


@pytest.fixture(autouse=True)
def own(tmp_path: Path) -> Iterator[Path]:
    write_package(
        tmp_path,
        "own_pkg",
        finders=FINDERS,
        broken=BROKEN,
        syntax="def find(image:\n",
        ends="import sys\nsys.exit(3)\n",
    )
    with importable(tmp_path, "own_pkg"):
        yield tmp_path


def config(**settings: Any) -> RegionCapConfig:
    return RegionCapConfig(input="photos.jsonl", **{"captioner": "pixels", **settings})


def test_known_names_are_those_of_the_registry() -> None:
    assert EXTRACTOR.known == (*EXTRACTORS, "vlm")  # a model is asked by the run itself
    assert set(CAPTIONER.known) == {"auto", *CAPTIONERS}
    assert EXPORT.known == tuple(EXPORTS)


def test_a_dotted_path() -> None:
    plugin = find_plugin(EXTRACTOR, "own_pkg.finders:find")
    assert plugin.target.__name__ == "find"
    assert plugin.key_parts() == {
        "name": "own_pkg.finders:find", "package": "", "package_version": "", "version": "7"
    }  # fmt: skip


def test_an_entry_point_has_the_version_of_its_package(own: Path) -> None:
    install(own, "own-pkg", "1.4", extractors={"mine": "own_pkg.finders:Detector"})
    assert config(extractor="mine").extractor == "mine"
    assert find_plugin(EXTRACTOR, "mine").key_parts() == {
        "name": "mine", "package": "own-pkg", "package_version": "1.4", "version": "2"
    }  # fmt: skip
    assert plugin_parts(config(extractor="mine"))["extractor"]["package_version"] == "1.4"


def test_our_names_win_over_entry_points(own: Path) -> None:
    install(own, "own-pkg", "1.4", extractors={"edges": "own_pkg.finders:Detector"})
    assert not config(extractor="edges").own_extractor


def test_a_name_of_two_packages_is_refused(own: Path) -> None:
    for name in ("own-pkg", "other-pkg"):
        install(own, name, "1.0", extractors={"mine": f"{name.replace('-', '_')}.finders:find"})
    with pytest.raises(UsageError, match=r"'mine' is an entry point of other-pkg \(.*\) and own-pkg"):
        find_plugin(EXTRACTOR, "mine")


NAMES = {
    "edgse": r"edges, canny, adaptive, .*regioncap.extractors \(installed: mine\).*did you mean edges\?\), got 'edgse'",
    "mien": r"did you mean mine\?",
    "own_pkg.finders.find": r"did you mean own_pkg.finders:find\?",
    "own_pkg.finders:": "a dotted path such as my_pkg.yolo:find",
    "own pkg:find": "a dotted path",
    "": "a dotted path",
    "/tmp/finders.py:find": "a dotted path",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_name_is_refused_with_what_there_is(name: str, own: Path) -> None:
    install(own, "own-pkg", "1.4", extractors={"mine": "own_pkg.finders:Detector"})
    with pytest.raises(ConfigError, match=NAMES[name]):
        config(extractor=name)


def test_a_function_itself_is_refused_with_its_path() -> None:
    with pytest.raises(ConfigError, match=r"did you mean tests.*test_plugin_loading:config\?"):
        config(extractor=config)


MISSING = {
    "no_pkg.finders:find": r"there is no module 'no_pkg' .* folder of PYTHONPATH",
    "own_pkg.fiders:find": r"there is no module 'own_pkg.fiders'",
    "own_pkg.finders:fnid": r"own_pkg.finders \(finders.py\) has no 'fnid'; did you mean find\?",
    "own_pkg.finders:zzz": "it has Detector, Silent, find, later, odd",
    "own_pkg.finders:number": "expected a function or class, but own_pkg.finders:number is of type int",
    "own_pkg.finders:later": "is an async function",
    "own_pkg.broken:find": r"importing own_pkg.broken raised ModuleNotFoundError: .*no_such_library.*broken.py, line 2",
    "own_pkg.syntax:find": r"importing own_pkg.syntax raised SyntaxError: .*syntax.py, line 1",
    "own_pkg.ends:find": r"importing own_pkg.ends raised SystemExit: 3 \(ends.py, line 2\)",
}


@pytest.mark.parametrize("name", MISSING)
def test_what_cannot_be_imported_says_whose_fault_it_is(name: str) -> None:
    with pytest.raises(UsageError, match=MISSING[name]):
        find_plugin(EXTRACTOR, name)


def finder(name: str, **options: Any) -> PluginFinder:
    made = PluginFinder(find_plugin(EXTRACTOR, f"own_pkg.finders:{name}"), options)
    made.prepare()
    return made


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "unknown option": ("find", {"sise": 3}, r"extractor_options: .*'sise'.*find\(image, size=640\)"),
    "missing option": ("Detector", {}, "extractor_options: missing a required argument: 'model'"),
    "cannot be made": ("Detector", {"model": "/gone.onnx"}, r"it raised FileNotFoundError: .*finders.py, line 16"),
    "no call": ("Silent", {}, r"expected a class with __call__\(self, image\)"),
    "attributes": ("odd", {}, "expected its attribute long_side to be pixels, got -5"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_finder_that_cannot_be_made_is_refused(case: str) -> None:
    name, options, expected = REFUSED[case]
    with pytest.raises(UsageError, match=expected):
        finder(name, **options)


def test_a_version_is_text_or_a_number() -> None:
    with pytest.raises(UsageError, match="expected its attribute version to be text or a number, got list"):
        find_plugin(EXTRACTOR, "own_pkg.finders:odd").key_parts()


OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "ours": ({"extractor_options": {"a": 1}}, "only extractors of your own"),
    "secret": ({"extractor": "a:b", "extractor_options": {"api_key": "x"}}, "looks like a credential"),
    "name": ({"extractor": "a:b", "extractor_options": {"a b": 1}}, "expected names of arguments, got 'a b'"),
    "no object": ({"extractor": "a:b", "extractor_options": "3"}, "extractor_options"),
    "endpoint": ({"captioner": "a:b", "endpoint": "http://h/v1"}, "uses none"),
    "sampling": ({"captioner": "a:b", "temperature": 0.5}, "temperature: captioner 'a:b' is a plugin"),
    "mode": ({"captioner": "a:b", "prompt_mode": "focal"}, "prompt_mode: captioner 'a:b' is a plugin"),
    "dollars": ({"captioner": "a:b", "max_usd": 1, "usd_per_m_in": 1, "usd_per_m_out": 1}, "set max_requests instead"),
    "model twice": ({"captioner": "a:b", "model": "m", "captioner_options": {"model": "n"}}, "remove one of them"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_settings_that_a_plugin_would_ignore_are_refused(case: str) -> None:
    settings, expected = OPTIONS[case]
    with pytest.raises(UsageError, match=expected):
        config(**settings)


def test_options_may_be_json_text() -> None:
    made = config(extractor="a:b", extractor_options='{"confidence": 0.5}')
    assert made.extractor_options == {"confidence": 0.5}


def test_only_a_command_looks_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_package(tmp_path / "project", "project_pkg", finders=FINDERS)
    monkeypatch.setattr(plugin_loading, "_project", [])
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path / "project")
    with pytest.raises(UsageError, match="there is no module 'project_pkg'"):
        find_plugin(EXTRACTOR, "project_pkg.finders:find")
    import_from(str(tmp_path / "project"))
    assert isinstance(find_plugin(EXTRACTOR, "project_pkg.finders:find"), Plugin)
    for name in ("project_pkg", "project_pkg.finders"):
        del sys.modules[name]
