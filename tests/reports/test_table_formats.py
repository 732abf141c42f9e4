"""The length table and its six formats: empty where nothing ran, averages only of what is whole, escaped everywhere."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ropepp_eval.cli import table as command
from ropepp_eval.errors import UserError
from ropepp_eval.reports.formats import FORMATS
from ropepp_eval.reports.table import Entry, number_text
from tests.reports.published_runs import write_published_run
from tests.reports.results_folders import PERPLEXITY, FakeCell, printed, rows_file, write_run


def table(capsys, *arguments) -> str:
    return printed(command, capsys, *arguments)


@pytest.fixture
def folder(tmp_path):
    cells = [
        FakeCell(checkpoint="rope", length_tokens=2048, scores=[1.0, 0.0]),
        FakeCell(checkpoint="rope", length_tokens=4096, scores=[0.0, 0.0]),
        FakeCell(checkpoint="ropepp_ec", length_tokens=4096, scores=[1.0, 1.0, 1.0, None]),
        FakeCell(checkpoint="rope", task="niah_single_2", length_tokens=4096, scores=[1.0, 0.0]),
        FakeCell(
            checkpoint="rope",
            benchmark="lambada",
            task="lambada_sliding",
            metric="perplexity",
            rule=PERPLEXITY,
            scores=[(30.0, 10.0)],
        ),
    ]
    return write_run(tmp_path / "run", cells)


def test_a_cell_that_did_not_run_is_empty_and_so_is_its_average(folder, capsys):
    lines = list(csv.DictReader(io.StringIO(table(capsys, folder, "--format", "csv"))))
    line = next(one for one in lines if one["task"] == "niah_single_1" and one["checkpoint"] == "ropepp_ec")
    assert (line["2k"], line["4k"], line["average"], line["n"]) == ("", "100", "", "3")
    line = next(one for one in lines if one["task"] == "niah_single_1" and one["checkpoint"] == "rope")
    assert (line["2k"], line["4k"], line["average"], line["n"]) == ("50", "0", "25", "4")


def test_a_partial_average_says_how_many_members_it_has(folder, capsys):
    out = table(capsys, folder, "--partial")
    assert "100.0 (1 of 2)" in out


def test_the_mean_of_tasks_is_empty_where_a_task_is_missing(folder, capsys):
    lines = list(csv.DictReader(io.StringIO(table(capsys, folder, "--format", "csv"))))
    mean = {line["checkpoint"]: line for line in lines if line["task"] == "mean of 2 tasks"}
    assert (mean["rope"]["2k"], mean["rope"]["4k"], mean["ropepp_ec"]["4k"]) == ("", "25", "")


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_the_same_rows_give_the_same_bytes_without_paths(folder, tmp_path, capsys, form):
    other = tmp_path / "elsewhere" / folder.name
    shutil.copytree(folder, other)
    first = table(capsys, folder, "--format", form)
    assert first == table(capsys, other, "--format", form)
    assert str(tmp_path) not in first


def checkpoint_order(out: str) -> list[str]:
    return list(dict.fromkeys(line["checkpoint"] for line in csv.DictReader(io.StringIO(out))))


@pytest.mark.parametrize("layout", ["lengths", "tasks", "depth"])
def test_checkpoints_stand_in_the_order_of_the_run_and_of_the_folders(tmp_path, capsys, layout):
    names, more = ["rope", "ropepp_eh", "ropepp_ec"], ["fope"]
    first, second = (
        write_run(tmp_path / str(i), [FakeCell(checkpoint=n, depths=[1.0] * 4) for n in some], created=f"2026-01-0{3 - i}")
        for i, some in enumerate([names, more])
    )
    arguments = ("--layout", layout, "--format", "csv")
    assert checkpoint_order(table(capsys, first, second, *arguments)) == names + more
    assert checkpoint_order(table(capsys, second, first, *arguments)) == more + names


def test_paper_layouts_keep_the_papers_order_and_then_the_runs(tmp_path, capsys):
    facts = {"task": "niah_single_1", "length_tokens": 4096}
    cells = [FakeCell(checkpoint=name, position=position, **facts) for name, position in (("z", "ropepp_ec"), ("a", "rope"))]
    run = write_run(tmp_path / "run", cells)
    known = ("--as", "z=376M/RoPE++_EC", "--as", "a=376M/RoPE")
    assert checkpoint_order(table(capsys, run, "--layout", "paper2", "--format", "csv", *known)) == ["a", "z"]
    assert checkpoint_order(table(capsys, run, "--layout", "paper2", "--format", "csv")) == ["z", "a"]


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_failed_rows_are_told_in_every_format_for_people(folder, capsys, form):
    out = table(capsys, folder, "--format", form)
    assert ("1 failed row" in out) or form == "csv"


def test_json_says_null_where_text_is_empty(folder, capsys):
    sections = json.loads(table(capsys, folder, "--format", "json"))["sections"]
    lines = next(section for section in sections if section["benchmark"] == "ruler")["lines"]
    line = next(one for one in lines if (one["task"], one["checkpoint"]) == ("niah_single_1", "ropepp_ec"))
    assert line["entries"]["2k"]["value"] is None
    assert (line["entries"]["4k"]["rows"], line["entries"]["4k"]["failed"]) == (3, 1)


def test_an_unknown_format_is_refused_with_the_known_ones(folder, capsys):
    with pytest.raises(UserError, match="unknown format 'texts'; did you mean text"):
        table(capsys, folder, "--format", "texts")


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)


def test_html_escapes_names(tmp_path, capsys):
    from dataclasses import replace

    cell = replace(FakeCell(), checkpoint="<script>alert(1)<")
    run = write_run(tmp_path / "run", [cell])
    page = table(capsys, run, "--format", "html")
    tags = Tags()
    tags.feed(page)
    assert "script" not in tags.seen
    assert "&lt;script&gt;alert(1)&lt;" in page


def test_markdown_and_latex_escape_names(tmp_path, capsys):
    run = write_run(tmp_path / "run", [FakeCell(checkpoint="a_b|c&d%")])
    assert "a\\_b\\|c&d%" in table(capsys, run, "--format", "markdown")
    assert r"a\_b|c\&d\%" in table(capsys, run, "--format", "latex")


def compiled(body: str, folder: Path) -> None:
    """Raise unless a real LaTeX turns `body` into a page; skip where there is none."""
    latex = shutil.which("pdflatex") or shutil.which("tectonic")
    if not latex:
        pytest.skip("no pdflatex or tectonic on this machine")
    document = "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n\\begin{document}\n" + body + "\\end{document}\n"
    (folder / "table.tex").write_text(document, encoding="utf-8")
    options = ["-interaction=nonstopmode", "-halt-on-error"] if latex.endswith("pdflatex") else []
    done = subprocess.run([latex, *options, "table.tex"], cwd=folder, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "table.pdf").stat().st_size > 0
    assert "Overfull \\hbox" not in done.stdout, "a table is wider than the page"


@pytest.mark.parametrize("layout", ["lengths", "tasks", "depth"])
def test_latex_compiles(tmp_path, capsys, layout):
    names = ["rope", "a_b|c&d%$#{}~^\\<script>", "ropepp_ec"]
    cells = [
        FakeCell(checkpoint=name, task=task, length_tokens=length, scores=[1.0] * i + [0.0] * (4 - i), depths=[1.0] * 4)
        for i, name in enumerate(names)
        for task in ("niah_single_1", "vt")
        for length in (2048, 4096)
    ]
    cells[0].scores = [1.0, None, 0.0, 1.0]
    for cell in cells:
        cell.stand_in = True
    run = write_run(tmp_path / "run", cells)
    options = ("--ci", "--counts", "rows,failed,cut,fill", "--partial")
    compiled(table(capsys, run, "--layout", layout, "--format", "latex", *options), tmp_path)


@pytest.mark.parametrize("layout", ["paper1", "paper2", "paper3"])
def test_the_papers_tables_compile_beside_the_published_numbers(tmp_path, capsys, layout):
    run = write_published_run(tmp_path / "run", layout, protocol="reference")
    compiled(table(capsys, run, "--layout", layout, "--compare", "published", "--ci", "--format", "latex"), tmp_path)


def test_a_table_of_many_sections_compiles(tmp_path, capsys):
    run = write_run(tmp_path / "run", [FakeCell(length_tokens=length) for length in range(1000, 1060)])
    compiled(table(capsys, run, "--layout", "tasks", "--format", "latex"), tmp_path)


def test_an_unfinished_cell_says_how_many_of_its_rows_it_has(tmp_path, capsys):
    run = write_run(tmp_path / "run", [FakeCell(scores=[1.0, 0.0], planned=10)])
    out = table(capsys, run)
    assert "50.0 (2 of 10 rows)" in out
    assert "1 of 1 cell with fewer rows than planned" in out


def test_generated_text_and_what_checkpoints_say_of_themselves_are_noted(tmp_path, capsys):
    cells = [FakeCell(stand_in=True, info={"note": "random weights"}), FakeCell(task="vt")]
    out = table(capsys, write_run(tmp_path / "run", cells))
    assert "rows made from generated text in place of a real corpus: niah_single_1\n" in out


def test_damage_is_noted_with_its_place_and_the_cell_marked(tmp_path, capsys):
    cell = FakeCell(scores=[1.0, 0.0, 1.0])
    run = write_run(tmp_path / "run", [cell])
    lines = rows_file(run, cell).read_bytes().splitlines(keepends=True)
    rows_file(run, cell).write_bytes(lines[0] + lines[1][:40] + b"\n" + lines[2])
    out = table(capsys, run)
    assert "damaged, left out: run/rows/" in out
    assert "niah_single_1@4096.jsonl, line 2: not JSON" in out
    assert "100.0 (2 of 3 rows)" in out


def test_a_cell_whose_rows_all_failed_is_empty_with_its_count(tmp_path, capsys):
    run = write_run(tmp_path / "run", [FakeCell(scores=[None, None])])
    line = next(csv.DictReader(io.StringIO(table(capsys, run, "--counts", "failed", "--format", "csv"))))
    assert (line["4k"], line["4k failed"], line["n"]) == ("", "2", "")
    assert "(failed 2)" in table(capsys, run, "--counts", "failed")


def test_halves_are_rounded_to_even_after_the_noise_of_sums_is_dropped():
    shown = [number_text(Entry(value=value)) for value in (29.85, 28.75, (36.0 + 33.9 + 31.7 + 17.8) / 4, 1e-12, -0.04)]
    assert shown == ["29.8", "28.8", "29.8", "0.0", "0.0"]
    assert number_text(Entry(value=0.26, signed=True)) == "+0.3"
    assert number_text(Entry(value=-0.26, signed=True)) == "-0.3"
