"""The picture of the demo's page that README.md shows: `python docs/report_picture.py` writes results/demo/report.png (needs Chromium)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

DEMO = Path(__file__).resolve().parents[1] / "results" / "demo"
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
CHART = "mean of 2 tasks (ruler, string_match, protocol reference)"


def main() -> None:
    with sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"), args=SWITCHES
        )
        page = browser.new_page(viewport={"width": 1180, "height": 900})
        page.goto((DEMO / "report.html").as_uri())
        page.get_by_label("show", exact=True).first.select_option(label=CHART)
        page.locator("#scores h2").scroll_into_view_if_needed()
        page.evaluate("scrollTo(0, document.querySelector('#scores').getBoundingClientRect().top + scrollY)")
        page.locator("figure.chart svg").first.focus()
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        page.screenshot(path=DEMO / "report.png")
        browser.close()


if __name__ == "__main__":
    main()
