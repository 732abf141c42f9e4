"""Results that are thin, broken or at odds: a right page, or one line and nothing written."""

from __future__ import annotations

import json

import pytest

from ropepp_eval.cli import main
from tests.reports.page.folders import rich_run
from tests.reports.page.steps import open_row
from tests.reports.results_folders import FakeCell, write_run


def refused(capsys, *arguments):
    """The one line that the command prints for these arguments, with status 2."""
    assert main(["report", *map(str, arguments)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    return said.err


def written(folder, *arguments):
    file = folder / "report.html"
    assert main(["report", *map(str, arguments), "--out", str(file)]) == 0
    return file


CASES = {
    "no rows": [FakeCell(checkpoint=name, scores=[], planned=5) for name in "ab"],
    "one checkpoint": [FakeCell(length_tokens=length) for length in (1024, 2048)],
    "one length": [FakeCell(checkpoint=name) for name in "ab"],
    "all failed": [FakeCell(checkpoint=name, scores=[None] * 3, depths=[1.0, 2.0, 3.0]) for name in "ab"],
    "one row": [FakeCell(scores=[1.0])],
    "other rows": [FakeCell(checkpoint="a"), FakeCell(checkpoint="b", seed=7)],
    "no task in common": [FakeCell(checkpoint="a"), FakeCell(checkpoint="b", task="vt")],
    "megabytes of text": [FakeCell(checkpoint="a" * 200, scores=[1.0, 0.0])],
    "characters that act": [FakeCell(checkpoint="a\x1bb\u202e")],
}


@pytest.mark.parametrize("name", CASES)
def test_a_thin_run_is_a_right_page(name, opened, tmp_path):
    run = write_run(tmp_path / "run", CASES[name])
    if name == "megabytes of text":
        for path in run.glob("rows/*/*.jsonl"):
            rows = [json.loads(line) | {"responses": ["x" * 3_000_000]} for line in path.read_text().splitlines()]
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = written(tmp_path, run)
    one = opened(file)
    assert one.errors == []
    said = one.page.locator("body").text_content()
    expected = {
        "no rows": "2 cells without any row: a, niah_single_1 at 4k; b, niah_single_1 at 4k",
        "all failed": "6 failed rows: a, niah_single_1 at 4k (3); b, niah_single_1 at 4k (3)",
        "other rows": "have no row in common (seeds 42 and 7)",
        "no task in common": "share no cell (tasks niah_single_1 and vt)",
        "characters that act": "a\\u001bb\\u202e",
    }
    assert expected.get(name, "Nothing is missing") in said
    if name == "megabytes of text":
        assert file.stat().st_size < 100_000
        open_row(one.page, 0)
        assert "[... 2,998,000 characters left out ...]" in one.page.locator(".detail").text_content()
        assert one.page.evaluate("document.documentElement.scrollWidth") == 1200


def test_an_unreadable_line_is_named_and_the_rest_goes_on(tmp_path):
    run = write_run(tmp_path / "run", [FakeCell()])
    path = next(run.glob("rows/*/*.jsonl"))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "{broken", *lines[1:]]) + "\n")
    text = written(tmp_path, run).read_text(encoding="utf-8")
    assert "damaged, left out: run/rows/" in text
    assert "line 2: not JSON" in text


def test_runs_that_disagree_are_refused_and_nothing_is_written(tmp_path, capsys):
    one = write_run(tmp_path / "one", [FakeCell(scores=[1.0, 1.0])])
    two = write_run(tmp_path / "two", [FakeCell(scores=[1.0, 0.0])], created="2026-02-01T00:00:00Z")
    said = refused(capsys, one, two, "--out", tmp_path / "report.html")
    assert "disagree on row 1" in said
    assert not list(tmp_path.glob("*report*"))
    assert main(["report", str(one), str(two), "--latest", "--out", str(tmp_path / "report.html")]) == 0


def test_a_run_of_another_format_is_refused_in_one_line(tmp_path, capsys):
    run = write_run(tmp_path / "run", [FakeCell()])
    manifest = json.loads((run / "run.json").read_text()) | {"format": 99}
    (run / "run.json").write_text(json.dumps(manifest))
    assert "format 99, this release reads 1 and 2" in refused(capsys, run, "--out", tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--rows", "some"],
            "--rows 'some' is not known; it may be all, wrong (no right answers), or a number such as 10000",
        ),
        (["--rows", "-3"], "--rows '-3' is not known"),
        (["--every", "5"], "--every belongs to --live"),
        (["--live", "--every", "0"], "--every 0 is not between 1 and 3600 seconds"),
        (["--metric", "scoer"], "no cell has the metric 'scoer'"),
        (["--out", "."], "--out . is a folder; name a file"),
    ],
)
def test_what_can_not_be_asked_is_said_in_one_line(arguments, message, tmp_path, capsys):
    run = write_run(tmp_path / "run", [FakeCell()])
    assert message in refused(capsys, run, "--out", tmp_path / "report.html", *arguments)
    assert not (tmp_path / "report.html").exists()


def test_a_file_that_can_not_be_written_is_one_line(tmp_path, capsys):
    run = write_run(tmp_path / "run", [FakeCell()])
    (tmp_path / "file").write_text("")
    assert "file" in refused(capsys, run, "--out", tmp_path / "file" / "report.html")


def test_a_metric_asked_for_is_shown_everywhere(tmp_path, opened):
    run = rich_run(tmp_path / "run", rows=4)
    page = opened(written(tmp_path, run, "--metric", "perplexity_at_2")).page
    assert "perplexity_at_2" in page.locator("#charts").text_content()
    assert page.locator("#charts h3").first.text_content() == "Score against length"
