"""Prefect's UI as its user sees it, in Chromium: the run form, a run's page, a run that failed.

Pictures of what was seen are kept in the folder that REGIONCAP_SCREENSHOTS names, if it does.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.config.form import BASIC
from regioncap.config.model import RegionCapConfig
from tests.support.pages import chromium, needs_chromium
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.sites import Site
from tests.support.waiting import until

pytestmark = needs_chromium

PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1300, "height": 1600})
    page.set_default_timeout(PATIENCE_MS)
    yield page
    if folder := os.environ.get("REGIONCAP_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{request.node.name}.png", full_page=True)
    page.close()


def row_format(page: Any, site: Site, name: str) -> None:
    page.goto(f"{site.ui}/deployments/deployment/{site.deployment(name)['id']}/run")
    page.get_by_text("Captioner (Optional)").wait_for()


def field(page: Any, title: str) -> Any:
    """The box of the field with this title."""
    label = ".schema-form-property__label"
    titled = page.locator(f'{label}:text-is("{title}"), {label}:text-is("{title} (Optional)")')
    return page.locator(".schema-form-property").filter(has=titled).last


def choose(page: Any, title: str, value: str) -> None:
    """Choose from a list: by typing, which narrows it down."""
    control = field(page, title).locator(".p-select-button__control")
    control.focus()
    page.keyboard.type(value)
    page.get_by_role("option", name=value, exact=True).click()
    until(lambda: control.inner_text() == value)


def submit(page: Any, site: Site, name: str) -> str:
    """Press Submit; gives the run that came of it. Once more when the server was too busy: the page then says "Oops",
    and covers the button."""
    before = {run["id"] for run in site.runs_of(name)}
    for _ in range(3):
        page.get_by_role("button", name="Submit").dispatch_event("click")
        with contextlib.suppress(AssertionError):
            return str(until(lambda: {run["id"] for run in site.runs_of(name)} - before, seconds=40).pop())
    raise AssertionError("no run came of it")


def titles(page: Any) -> list[str]:
    """The fields that the form shows inside `config`."""
    shown = page.locator(".schema-form-property__label").all_inner_texts()
    return [text.removesuffix(" (Optional)") for text in shown[1:]]


def test_the_form_has_the_basic_settings_on_three_screens(site: Site, page: Any) -> None:
    page.set_viewport_size({"width": 1300, "height": 900})
    row_format(page, site, "manual")
    properties = RegionCapConfig.model_json_schema()["properties"]
    assert titles(page) == [properties[name]["title"] for name in BASIC]
    assert titles(page)[:6] == ["Input", "Output", "Captioner", "Model", "Endpoints", "API key block"]
    heights = "[...document.querySelectorAll('*')].map(element => element.scrollHeight)"
    assert page.evaluate(f"Math.max(...{heights})") < 3 * 900
    # The captioner is on the first screen, with nothing but Input and Output before it.
    assert field(page, "Captioner").bounding_box()["y"] < 900
    assert page.get_by_text('Property is type "None"').count() == 0


def test_another_form_has_every_setting_with_title_help_and_default(site: Site, page: Any) -> None:
    row_format(page, site, "manual-all")
    properties = RegionCapConfig.model_json_schema()["properties"]
    assert titles(page) == [described["title"] for described in properties.values()]
    text = page.locator("body").inner_text()
    for described in properties.values():
        # Markdown takes its signs out of a help.
        words = re.sub(r"[`<>{}\[\]*_]", " ", described["description"]).split()[:4]
        assert re.search(r"\W+".join(map(re.escape, words)), text), described["description"]
    assert page.locator(".cm-editor, .p-code-input, .monaco-editor").count() == 0, "a raw JSON editor"
    assert field(page, "Regions per picture").locator("input").input_value() == "10"
    # A plugin may be named there, so it is text; a setting with nothing but values of ours is a list.
    assert field(page, "Regions: Region finder").locator("textarea").input_value() == "edges"
    assert field(page, "On changed settings").locator(".p-select-button__control").inner_text() == "auto"


def test_a_run_from_the_form_and_its_page(site: Site, page: Any, project: Path) -> None:
    with (project / "photos.jsonl").open("a") as file:
        file.write('{"image": "gone.png"}\n')
    row_format(page, site, "manual")
    for label, value in (("Input", "photos.jsonl"), ("Output", "out.jsonl"), ("Cache", "cache")):
        field(page, label).locator("textarea, input").first.fill(str(project / value))
    field(page, "Captioner").locator("textarea").fill("pixels")
    field(page, "Regions per picture").locator("input").fill("4")
    choose(page, "On changed settings", "recaption")
    run = site.ended(submit(page, site, "manual"))
    assert run["state"]["type"] == "COMPLETED", run["state"]
    config = run["parameters"]["config"]
    assert (config["captioner"], config["max_boxes"], config["on_config_change"]) == ("pixels", 4, "recaption")
    assert config["allowed_images"] == ["strict"], "what the deployment sets and the form does not show"
    rows = read_rows(project / "out.jsonl")
    assert len(rows) == 6

    page.goto(f"{site.ui}/runs/flow-run/{run['id']}")
    page.get_by_text(re.compile(r"^out\.jsonl · ")).first.wait_for()
    page.get_by_text("Artifacts", exact=True).click()
    page.get_by_text("summary-out").first.click()
    page.get_by_role("heading", name=re.compile(r"^6 of 7 rows captioned")).wait_for()
    pictures = page.locator("article img")
    assert pictures.count() == 3
    # They are not only there, they can be seen.
    assert all(pictures.nth(place).evaluate("img => img.complete && img.naturalWidth > 50") for place in range(3))
    first = rows[0]["mdvp_record"][0].removeprefix("<region1> ")
    assert page.get_by_text(first).count() >= 1


def test_a_wrong_value_is_refused_in_the_form(site: Site, page: Any, project: Path) -> None:
    row_format(page, site, "manual")
    field(page, "Input").locator("textarea").fill("photos.jsonl")
    field(page, "Regions per picture").locator("input").fill("0")
    before = len(site.runs_of("manual"))
    page.get_by_role("button", name="Submit").dispatch_event("click")
    page.get_by_text(re.compile("less than the minimum of 1|minimum", re.IGNORECASE)).first.wait_for()
    assert len(site.runs_of("manual")) == before


def test_progress_moves_and_a_failed_run_says_what_to_do(site: Site, page: Any, tmp_path: Path) -> None:
    for number in range(24):
        write_photo(tmp_path / f"{number}.png", number)
    write_rows(tmp_path / "photos.jsonl", [{"image": f"{number}.png", "bbox": [BOX]} for number in range(24)])
    with RunningServer(Behaviour(latency=0.6, slots=1)) as server:
        config = {
            "input": str(tmp_path / "photos.jsonl"), "output": str(tmp_path / "moves.jsonl"),
            "cache_path": str(tmp_path / "cache"), "endpoint": [server.url], "model": "fake-vlm",
            "max_pixels": 40_000, "shard_size": 4, "max_in_flight": 1,
        }  # fmt: skip
        number = site.create("manual", config=config).json()["id"]
        seen: set[float] = set()

        def moves() -> bool:
            seen.add(float(site.artifacts(number).get("progress", 0.0)))
            return len(seen - {0.0, 100.0}) >= 2

        until(moves)
        found = site.post("artifacts/filter", artifacts={"flow_run_id": {"any_": [number]}}).json()
        bar = next(one for one in found if one["type"] == "progress")
        server.change(latency=5.0)  # time to look at it
        page.goto(f"{site.ui}/artifacts/artifact/{bar['id']}")
        page.get_by_text(re.compile(r"of about 24 rows")).first.wait_for()
        if folder := os.environ.get("REGIONCAP_SCREENSHOTS"):
            page.screenshot(path=Path(folder) / "progress.png")
        server.change(key="another")
        run = site.ended(number)
    assert run["state"]["type"] == "FAILED"
    page.goto(f"{site.ui}/runs/flow-run/{number}")
    page.get_by_text("Failed").first.wait_for()
    page.get_by_text("Artifacts", exact=True).click()
    page.get_by_text("summary-moves").first.click()
    page.get_by_role("heading", name="The run stopped before its end").wait_for()
    assert page.get_by_text("What to do:").count() == 1
    assert page.get_by_role("link", name="run the deployment again").get_attribute("href").startswith(site.ui)
