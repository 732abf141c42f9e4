"""The page in a real browser: every view opened, sorted, filtered, linked to; nothing asked of the network; hostile text is text."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from ropepp_eval.cli import main
from ropepp_eval.reports.cells import read_cells
from ropepp_eval.reports.comparison import compare
from ropepp_eval.reports.layouts import LayoutOptions
from ropepp_eval.reports.table import Entry, number_text
from ropepp_eval.reports.verdict import standings
from tests.reports.page.folders import HOSTILE, rich_run
from tests.reports.page.steps import choose, open_row


def texts(page, selector):
    return [text.strip() for text in page.locator(selector).all_text_contents()]


def table_lines(page, caption):
    """Cells of the first table whose caption begins so."""
    return page.evaluate(
        """(caption) => {
            const table = [...document.querySelectorAll("table")].find((one) => one.caption?.textContent.startsWith(caption));
            return [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent));
        }""",
        caption,
    )


def test_it_opens_from_disk_without_a_request_or_an_error(report, opened):
    one = opened(report)
    assert one.requests == [report.as_uri()]
    assert one.errors == []
    assert texts(one.page, "h2") == [
        "Summary",
        "Scores",
        "Depth of the fact",
        "Compare two checkpoints",
        "Rows",
        "Provenance",
    ]
    assert one.page.locator("figure.chart svg").count() == 3  # lengths, positions, cache


def test_the_policy_forbids_everything_but_the_page_itself(report, opened):
    one = opened(report)
    refused = []
    one.page.on("requestfailed", lambda request: refused.append((request.url, request.failure)))
    one.page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "document.title = 'taken'";
            document.body.append(script);
            const picture = new Image();
            picture.src = "https://example.org/picture.png";
            document.body.append(picture);
            fetch("https://example.org/").catch(() => {});
        }"""
    )
    one.page.wait_for_timeout(100)
    assert one.page.title() != "taken"
    assert refused == [("https://example.org/picture.png", "csp")]
    assert sum("Content Security Policy" in error for error in one.errors) >= 3


def test_hostile_names_and_answers_are_text(report, opened):
    one = opened(report)
    assert HOSTILE in one.page.locator("h1").text_content()
    assert one.page.locator("img").count() == 0
    assert one.page.locator("script").count() == 2
    choose(one.page, "task", "vt")
    for number in range(6):
        open_row(one.page, number)
        answer = one.page.locator(".detail pre.answer").text_content()
        assert not re.search("[\x00-\x08\x1b\u202e]", answer)
        if number == 0:
            assert answer == "</script><script>document.title='taken'</script> 7"
    assert one.page.title() != "taken"
    assert one.errors == []


def test_the_top_says_who_is_better_what_was_run_and_what_is_missing(report, rich_folder, opened):
    page = opened(report).page
    cells = read_cells(rich_folder)
    assert texts(page, "#summary .verdict li") == list(standings(cells, LayoutOptions()))
    said = page.locator("#summary").text_content()
    assert "3 failed rows: rope, vt at 4k (1)" in said
    assert "rows made from generated text in place of a real corpus: vt" in said
    assert page.locator("#summary table").count() == 1  # effective lengths of the one benchmark in percent


def test_a_chart_and_its_table_show_the_same_numbers_and_follow_the_switches(report, rich_folder, opened):
    page = opened(report).page
    labels = [option.strip() for option in texts(page, "#charts select >> nth=0 >> option")]
    assert labels == [
        "mean of 2 tasks (ruler, score, protocol reference)",
        "niah_single_1 (ruler, score, protocol reference)",
        "vt (ruler, score, protocol reference)",
        "wikitext_positions (wikitext, perplexity_at_1, protocol reference)",
    ]
    page.locator("#charts select").first.select_option(label=labels[2])
    lines = table_lines(page, "ruler, vt: score by context length")
    cells = {
        (cell.name.checkpoint, cell.name.length_tokens): cell
        for cell in read_cells(rich_folder).cells
        if cell.name.task == "vt"
    }
    for line, name in zip(lines, ("rope", HOSTILE, "ropepp_ec"), strict=True):
        assert line[0] == name
        for text, length in zip(line[1:4], (1024, 2048, 4096), strict=True):
            scores = [row["scores"]["score"] for row in cells[name, length].rows if row["scores"]]
            assert text.startswith(number_text(Entry(100 * sum(scores) / len(scores))) + " (")
    marks = page.locator("figure.chart >> nth=0 >> .mark")
    assert marks.count() == 9
    page.locator("#shown label").nth(1).click()
    assert marks.count() == 6
    assert [line[0] for line in table_lines(page, "ruler, vt: score by context length")] == ["rope", "ropepp_ec"]


def test_a_chart_is_read_by_arrow_keys(report, opened):
    page = opened(report).page
    readout = page.locator("figure.chart >> nth=0 >> .readout")
    page.locator("figure.chart svg").first.focus()
    first = readout.text_content()
    assert re.match(r"rope at 1k: \d+\.\d \(95 % interval [\d.]+ to [\d.]+\), 24 rows", first)
    page.keyboard.press("ArrowRight")
    assert readout.text_content().startswith("rope at 2k: ")
    page.keyboard.press("ArrowDown")
    assert readout.text_content().startswith(f"{HOSTILE} at 2k: ")


def test_tables_sort_by_value_and_length(report, opened):
    page = opened(report).page
    heading = page.locator("#charts table >> nth=0 >> thead button").nth(1)
    for order in ("ascending", "descending"):
        heading.click()
        values = [float(line[1].split()[0]) for line in table_lines(page, "ruler, mean of 2 tasks: score by context length")]
        assert values == sorted(values, reverse=order == "descending")
        assert heading.locator("xpath=..").get_attribute("aria-sort") == order
    places = page.locator("table.places").last
    places.locator("thead button", has_text="length").click()
    lengths = [row.split("k")[0][-1] for row in places.locator("tbody tr td:nth-child(2)").all_text_contents()]
    assert lengths == sorted(lengths)


def test_tables_are_copied_in_three_forms(report, opened):
    one = opened(report, permissions=["clipboard-read", "clipboard-write"])
    button = one.page.locator("#charts .copies >> nth=0 >> button")
    copied = []
    for number, mark in enumerate(("checkpoint,1k", "| checkpoint | 1k", "\\begin{tabular}{lrrrr}")):
        button.nth(number).click()
        one.page.locator("#said", has_text=f"copied as {button.nth(number).text_content()}").wait_for(state="attached")
        copied.append(one.page.evaluate("navigator.clipboard.readText()"))
        assert mark in copied[-1]
    assert '"""' in copied[0]  # the hostile name's quotes are doubled
    assert "\\_" in copied[1]
    assert "ropepp\\_ec" in copied[2]


def test_a_cell_that_begins_like_a_formula_is_quoted_in_csv(opened, tmp_path):
    run = rich_run(tmp_path / "run", checkpoints=("=1+1", "-b"))
    assert main(["report", str(run), "--out", str(tmp_path / "report.html")]) == 0
    one = opened(tmp_path / "report.html", permissions=["clipboard-read", "clipboard-write"])
    one.page.locator(".copies").last.locator("button").first.click()
    one.page.locator("#said", has_text="copied").wait_for(state="attached")
    copied = one.page.evaluate("navigator.clipboard.readText()")
    assert [line.split(",")[0] for line in copied.splitlines()[1:]] == ["'=1+1", "'-b"]


def test_any_two_checkpoints_are_compared_either_way(report, rich_folder, opened):
    page = opened(report).page
    found = compare(read_cells(rich_folder), "rope", "ropepp_ec", LayoutOptions())
    choose(page, "against", "ropepp_ec")
    lines = table_lines(page, "rope against ropepp_ec: cells")
    assert len(lines) == len(found.cells)
    assert [line[2] for line in lines] == [
        number_text(Entry(one.difference.value, 1 if one.group.topic.scale == 100 else 2, signed=True))
        for one in found.cells
    ]
    choose(page, "against", "rope")
    assert "Choose two different checkpoints." in page.locator("#pairs").text_content()
    choose(page, "compare", "ropepp_ec")
    turned = table_lines(page, "ropepp_ec against rope: cells")
    for line, other in zip(lines, turned, strict=True):
        assert float(other[2]) == -float(line[2])
        assert (float(other[4] or 0), float(other[5] or 0)) == (-float(line[5] or 0), -float(line[4] or 0))
        assert (other[8], other[9]) == (line[9], line[8])


def test_a_comparison_leads_to_the_rows_that_differ(report, opened):
    page = opened(report).page
    button = page.locator("table.places").last.locator("button.link").first
    count = int(button.text_content())
    button.click()
    assert page.locator(".count").text_content().startswith(f"{count} of ")


def test_rows_are_filtered_sorted_and_paged(report, opened):
    page = opened(report).page
    assert page.locator(".count").text_content().startswith("231 of 231 rows, ")
    assert "page 1 of 5" in page.locator(".pages").text_content()
    page.get_by_role("button", name="later").click()
    assert "page 2 of 5" in page.locator(".pages").text_content()
    choose(page, "outcome", "failed")
    assert page.locator("table.rows tbody tr").count() == 3
    choose(page, "outcome", "any")
    choose(page, "task", "niah_single_1")
    choose(page, "length", "2k")
    choose(page, "depth", "90-100 %")
    depths = texts(page, "table.rows tbody .col-depth")
    assert depths
    assert all(90 <= float(text.split()[0]) <= 100 for text in depths)
    page.get_by_role("button", name="show all rows").click()
    page.get_by_label("text", exact=True).fill("BOLD")
    assert page.locator("table.rows tbody tr").count() == 18
    page.get_by_role("button", name="show all rows").click()
    page.locator("table.rows thead button", has_text="outcome").click()
    assert texts(page, "table.rows tbody tr:first-child .outcome") == ["right"]
    page.locator("table.rows thead button", has_text="outcome").click()
    assert texts(page, "table.rows tbody tr:first-child .outcome") == ["scored"]


def test_a_row_opens_with_all_that_is_known_of_it(report, opened):
    page = opened(report).page
    choose(page, "task", "niah_single_1")
    open_row(page, 1)
    detail = page.locator(".detail")
    said = detail.text_content()
    for words in (
        "rope, niah_single_1 at 1k, row 1",
        "what is 1?",
        "prompt 860, new 5, budget 64",
        "10 %",
        "by score: ",
        "stop",
    ):
        assert words in said
    assert texts(page, ".detail mark") == ["7"]
    assert page.locator(".detail .needle").count() == 1
    assert len(texts(page, ".detail section:last-child li")) == 2  # the other two checkpoints


def test_a_link_to_a_row_survives_sending_the_file(report, opened, tmp_path):
    page = opened(report).page
    open_row(page, 7)
    title, address = page.locator(".detail h3").text_content(), page.evaluate("location.hash")
    assert re.fullmatch("#row=[0-9a-f]{12}", address)
    sent = tmp_path / "sent.html"
    sent.write_bytes(report.read_bytes())
    for width in (1200, 400):
        other = opened(sent, address, width=width).page
        assert other.locator(".detail h3").text_content() == title
        other.locator(".detail h3").wait_for(state="visible")
    lost = opened(sent, "#row=ffffffffffff").page
    assert "does not hold the row" in lost.locator(".detail").text_content()


def test_rows_are_walked_by_keyboard_alone_across_pages(report, opened):
    page = opened(report).page
    page.locator("table.rows tbody tr a").first.focus()
    page.keyboard.press("Enter")
    assert page.locator(".detail h3").text_content().endswith("row 0")
    for _ in range(50):
        page.keyboard.press("ArrowDown")
    assert "page 2 of 5" in page.locator(".pages").text_content()
    opened_id = page.evaluate("document.activeElement.closest('tr').dataset.id")
    assert page.evaluate("location.hash") == f"#row={opened_id}"
    page.keyboard.press("ArrowUp")
    assert "page 1 of 5" in page.locator(".pages").text_content()


@pytest.mark.parametrize("width", [400, 1200])
def test_nothing_but_framed_tables_is_wider_than_the_window(report, opened, width):
    page = opened(report, width=width).page
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_dark_follows_the_system_and_the_button(report, opened):
    page = opened(report, color_scheme="dark").page
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.get_by_role("button", name="light colours").click()
    assert page.evaluate(background) == "rgb(255, 255, 255)" != dark


def test_it_prints_without_cutting_a_table_or_a_chart(report, opened):
    page = opened(report).page
    page.set_viewport_size({"width": 700, "height": 1000})  # A4 within its margins
    page.emulate_media(media="print")
    wide = page.evaluate(
        """() => [...document.querySelectorAll("main table, main svg")].filter((one) => one.getClientRects().length)
            .map((one) => [one.caption?.textContent ?? one.outerHTML.slice(0, 60), one.getBoundingClientRect().right])
            .filter(([, right]) => right > 701)"""
    )
    assert wide == []


def test_the_data_is_json_that_ends_no_script(report):
    text = report.read_text(encoding="utf-8")
    inside = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    data = json.loads(inside[1])
    assert data["checkpoints"][1]["label"] == HOSTILE
    assert text.count("<script") == 2


def test_the_same_rows_give_the_same_bytes(report, rich_folder, tmp_path):
    again = tmp_path / "again.html"
    assert main(["report", str(rich_folder), "--out", str(again)]) == 0
    assert again.read_bytes() == report.read_bytes()
    assert not list(tmp_path.glob(".*"))
    assert str(Path.cwd()) not in report.read_text(encoding="utf-8")


def test_the_demo_page_is_small_and_of_this_release(report, opened):
    """`make demo` writes it; one that is older than the scripts has another policy."""
    demo = Path(__file__).resolve().parents[3] / "results" / "demo" / "report.html"
    assert demo.stat().st_size < 3_000_000
    policies = [
        re.search(r'Security-Policy" content="([^"]+)"', file.read_text(encoding="utf-8"))[1] for file in (demo, report)
    ]
    assert policies[0] == policies[1], "run `make demo`: results/demo/report.html was made by other scripts"
    one = opened(demo)
    assert one.errors == []
    with (demo.parent / "table.csv").open(encoding="utf-8", newline="") as table:
        rows = sum(int(line["n"]) for line in csv.DictReader(table) if not line["task"].startswith("mean"))
    assert one.page.locator(".count").text_content().startswith(f"{rows:,} of {rows:,} rows")
