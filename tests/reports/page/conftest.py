"""A real browser for the page: Debian's Chromium, driven by Playwright's Python package."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.cli import main
from tests.reports.page.folders import rich_run

SWITCHES = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
)  # fmt: skip


@dataclass
class Opened:
    """A page in the browser, and everything it should not have done."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install '.[dev]')")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=program, args=list(SWITCHES))
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Opened]]:
    """Opens a file as a colleague would: from disk, without a network."""
    contexts = []

    def open_file(file: Path, address: str = "", *, width: int = 1200, **settings: Any) -> Opened:
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, **settings)
        context.set_default_timeout(20_000)
        contexts.append(context)
        one = Opened(context.new_page())
        one.page.on("console", lambda message: one.errors.append(f"{message.type}: {message.text}"))
        one.page.on("pageerror", lambda error: one.errors.append(str(error)))
        one.page.on("request", lambda request: one.requests.append(request.url))
        one.page.goto(file.as_uri() + address)
        return one

    yield open_file
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def rich_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rich_run(tmp_path_factory.mktemp("rich") / "run")


@pytest.fixture(scope="session")
def report(rich_folder: Path) -> Path:
    """The page of `rich_folder`, made by the command."""
    file = rich_folder.parent / "report.html"
    assert main(["report", str(rich_folder), "--out", str(file)]) == 0
    return file
