"""The page for those who can't see well, see no colours, or use no mouse: axe's audit, and what axe can't know."""

from __future__ import annotations

import pytest

from ropepp_eval.cli import main
from tests.reports.page.folders import rich_run
from tests.reports.page.steps import choose, open_row


@pytest.fixture(scope="module")
def small_report(tmp_path_factory):
    """Everything that a page has, a few of each: the audit looks at each element."""
    folder = tmp_path_factory.mktemp("small")
    rich_run(folder / "run", rows=3, checkpoints=("rope", "ropepp_ec"))
    assert main(["report", str(folder / "run"), "--out", str(folder / "report.html")]) == 0
    return folder / "report.html"


def findings(page):
    """What axe finds: (rule, impact, first place, why)."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed").Axe()
    found = axe.run(
        page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    ).response
    assert len(found["passes"]) > 20
    return [
        (one["id"], one["impact"], one["nodes"][0]["html"][:120], one["nodes"][0]["failureSummary"])
        for one in found["violations"]
    ]


@pytest.mark.parametrize("settings", [{}, {"color_scheme": "dark"}, {"width": 400}], ids=["light", "dark", "narrow"])
def test_an_audit_finds_nothing(small_report, opened, settings):
    page = opened(small_report, **settings).page
    choose(page, "outcome", "wrong")
    open_row(page, 0)
    assert findings(page) == []


def test_checkpoints_are_told_apart_without_colour(report, opened):
    page = opened(report).page
    shapes = page.evaluate(
        "[...document.querySelectorAll('#shown .mark')].map((one) => one.tagName + (one.getAttribute('d') ?? ''))"
    )
    dashes = page.evaluate(
        "[...document.querySelectorAll('#shown .line')].map((one) => one.getAttribute('stroke-dasharray'))"
    )
    assert len(set(shapes)) == len(set(dashes)) == 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lines_and_marks_stand_out_from_the_page(report, opened, scheme):
    """WCAG 1.4.11: 3 to 1 for graphics, of all seven colours; 4.5 to 1 for text on the darkest cell of a heat table."""
    page = opened(report, color_scheme=scheme).page
    ratios = page.evaluate(
        """() => {
            const context = document.createElement("canvas").getContext("2d");
            const bright = (colour) => {
                context.fillStyle = colour;
                context.fillRect(0, 0, 1, 1);
                const parts = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => v / 255);
                const [r, g, b] = parts.map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const ratio = (a, b) => {
                const [low, high] = [bright(a), bright(b)].sort((x, y) => x - y);
                return (high + 0.05) / (low + 0.05);
            };
            const probe = document.body.appendChild(document.createElement("p"));
            const colour = (value) => { probe.style.color = value; return getComputedStyle(probe).color; };
            const graphics = [...Array(7).keys()].map((n) => ratio(colour(`var(--c${n})`), colour("var(--page)")));
            const cell = [...document.querySelectorAll(".heat")].map((one) => getComputedStyle(one));
            return { graphics, text: cell.map((style) => ratio(style.color, style.backgroundColor)) };
        }"""
    )
    assert min(ratios["graphics"]) >= 3
    assert len(ratios["text"]) > 20
    assert min(ratios["text"]) >= 4.5


def test_every_control_is_reached_by_the_tab_key(report, opened):
    page = opened(report).page
    count = page.evaluate(
        "[...document.querySelectorAll('a, button, select, input, [tabindex=\"0\"], summary')].filter((one) => one.getClientRects().length && !one.disabled).length"
    )
    reached = set()
    for _ in range(count + 5):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "[...document.querySelectorAll('a, button, select, input, [tabindex=\"0\"], summary')].indexOf(document.activeElement)"
            )
        )
    assert len(reached - {-1}) == count
