"""Pages of outputs, and the browser that opens pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, expect, sync_playwright

from regioncap.output.reading import open_output
from regioncap.report.report import report_of
from regioncap.storage.filesystem import Filesystems

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

LIMIT_MS = 60_000
"""How long an expectation is waited for: a busy machine is no defect."""

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser without a window."""
    expect.set_options(timeout=LIMIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Opened:
    """A page that was opened, and what it complained of or asked of the network."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.troubles: list[str] = []
        self.requests: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("dialog", self._dialog)
        page.on("request", lambda request: self.requests.append(request.url))

    def _dialog(self, dialog: Dialog) -> None:
        self.troubles.append(f"{dialog.type} {dialog.message}".strip())
        dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        self.troubles.append(message.text)


def open_page(browser: Browser, path: Path, **context: Any) -> Opened:
    """The page at `path`, in a browser profile of its own."""
    profile = browser.new_context(**{"viewport": {"width": 1300, "height": 900}, **context})
    return open_in(profile, path, scripts=context.get("java_script_enabled", True))


def open_in(profile: BrowserContext, path: Path, scripts: bool = True) -> Opened:
    """The page at `path`, in a new tab of a browser profile, which has what its pages stored."""
    opened = Opened(profile.new_page())
    opened.page.goto(path.as_uri())
    if scripts:
        until_painted(opened.page)
    return opened


def until_painted(page: Page) -> None:
    """Wait for the page's first frames: keys that are pressed before are lost."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def reload(page: Page) -> None:
    """Load the page again, as its user would."""
    page.reload()
    until_painted(page)


def page_of(output: Path | str, **more: Any) -> str:
    """The report of an output, as HTML."""
    files = Filesystems()
    done = report_of(open_output(str(output), files), files, **more)
    return done.place.read().decode("utf-8")
