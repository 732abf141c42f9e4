"""Fed with the published values, the layouts give the published tables back; beside them, nothing differs."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest

from ropepp_eval.cli import table as command
from ropepp_eval.errors import UserError
from ropepp_eval.reports.paper import paper_line
from ropepp_eval.reports.published import discrepancies, published_table
from tests.reports.published_runs import write_published_run
from tests.reports.results_folders import PERPLEXITY, FakeCell, printed, write_run

LAYOUTS = ["paper1", "paper2", "paper3"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    return {name: write_published_run(folder / name, name) for name in LAYOUTS}


def table(capsys, *arguments) -> str:
    return printed(command, capsys, *arguments)


def text_cells(out: str, labels: int) -> dict[tuple[str, ...], list[str]]:
    """Lines of a Markdown table: labels -> cells without marks."""
    lines = [line.strip("| ").split(" | ") for line in out.splitlines() if line.startswith("| ")]
    plain = [
        [cell.replace("**", "").replace("<u>", "").replace("</u>", "").replace("\\", "") for cell in line] for line in lines
    ]
    return {tuple(line[:labels]): line[labels:] for line in plain[2:]}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_printed_number_comes_back_but_for_averages_that_do_not_add_up(runs, capsys, name):
    published = published_table(name)
    out = text_cells(table(capsys, runs[name], "--layout", name, "--format", "markdown"), len(published.label_columns) + 1)
    wrong = {(one.labels, one.column): one for one in discrepancies() if one.table == name}
    assert len(out) == len(published.values)
    for labels, numbers in published.values.items():
        shown = dict(zip((column.printed for column in published.columns), out[(*labels, "-".join(labels))], strict=True))
        for column, value in numbers.items():
            if (labels, column) in wrong:
                assert abs(float(shown[column]) - float(wrong[labels, column].recomputed)) <= 0.05 + 1e-9
            else:
                assert shown[column] == str(value), f"{labels} {column}"


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("form", ["text", "latex", "html", "csv", "json"])
def test_every_format_holds_every_line(runs, capsys, name, form):
    out = table(capsys, runs[name], "--layout", name, "--format", form)
    for labels in published_table(name).values:
        label = "-".join(labels)
        assert (label.replace("_", r"\_") if form == "latex" else label) in out


@pytest.mark.parametrize("name", LAYOUTS)
def test_beside_the_published_numbers_every_difference_is_zero(runs, capsys, name):
    out = table(capsys, runs[name], "--layout", name, "--compare", "published", "--format", "csv")
    lines = [line for line in csv.DictReader(io.StringIO(out)) if line["source"] == "difference"]
    titles = [column.title for column in published_table(name).columns]
    assert len(lines) == len(published_table(name).values)
    assert all(abs(float(line[title])) < 1e-9 for line in lines for title in titles)


def test_differences_are_measured_minus_published(runs, tmp_path, capsys):
    cells = [
        FakeCell(
            benchmark="babilong",
            task=f"babilong_qa{i}",
            length_tokens=2048,
            protocol="paper",
            scores=[0.187] * 3,
            info={"parameters": 376_000_000, "max_position_embeddings": 32768},
        )
        for i in range(1, 11)
    ]
    run = write_run(tmp_path / "run", cells)
    out = table(capsys, run, "--layout", "paper2", "--compare", "published", "--format", "csv")
    lines = {line["source"]: line for line in csv.DictReader(io.StringIO(out))}
    assert lines["published"]["BABILong 2k"] == "17.7"
    assert float(lines["difference"]["BABILong 2k"]) == pytest.approx(1.0)
    assert lines["difference"]["RULER 4k"] == lines["measured"]["RULER 4k"] == ""
    text = table(capsys, run, "--layout", "paper2", "--compare", "published")
    assert "+1.0" in text
    assert "not the paper's" not in text


def test_another_protocol_than_the_papers_is_said(tmp_path, capsys):
    run = write_published_run(tmp_path / "run", "paper2", protocol="reference")
    out = table(capsys, run, "--layout", "paper2", "--compare", "published")
    assert "measured with protocol reference, not the paper's" in out
    assert "776M RoPE++_EC, ruler_avg: printed 29.4, its cells give 29.46" in out


def test_best_is_bold_and_second_underlined_within_a_size(runs, capsys):
    lines = json.loads(table(capsys, runs["paper2"], "--layout", "paper2", "--format", "json"))["sections"][0]["lines"]
    marks = {(line["size"], line["method"]): line["entries"]["RULER 8k"]["mark"] for line in lines}
    assert marks == {
        ("376M", "RoPE"): None,
        ("376M", "RoPE++_EH"): "second",
        ("376M", "RoPE++_EC"): "best",
        ("776M", "RoPE"): None,
        ("776M", "RoPE++_EH"): "second",
        ("776M", "RoPE++_EC"): "best",
    }
    perplexities = json.loads(table(capsys, runs["paper1"], "--layout", "paper1", "--format", "json"))["sections"][0][
        "lines"
    ]
    best = [
        line["method"]
        for line in perplexities
        if line["group"] == "376M short" and line["entries"]["WikiText ppl"]["mark"] == "best"
    ]
    assert best == ["Pythia"]  # 19.2 is the lowest


def test_a_missing_task_empties_its_column_unless_partial(tmp_path, capsys):
    cells = [FakeCell(task="niah_single_1", length_tokens=4096, scores=[1.0, 1.0])]
    run = write_run(tmp_path / "run", cells)
    line = next(csv.DictReader(io.StringIO(table(capsys, run, "--layout", "paper2", "--format", "csv"))))
    assert line["RULER 4k"] == ""
    assert "100.0 (1 of 13)" in table(capsys, run, "--layout", "paper2", "--partial")


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"parameters": 380_000_000, "max_position_embeddings": 32768}, ("376M", "long", "none")),
        ({"parameters": 1_450_000_000, "max_position_embeddings": 4096}, ("1.5B", "short", "none")),
        ({"parameters": 1_000_000, "scaling": "yarn32"}, ("1M", "short", "yarn_32")),
        ({"parameters": 900}, ("900", "short", "none")),
        ({}, ("unknown", "short", "none")),
    ],
)
def test_a_checkpoint_is_called_as_the_paper_would(info, expected):
    line = paper_line("ropepp_ec", info)
    assert (line.size, line.stage, line.scaling) == expected
    assert line.method == "RoPE++_EC"


def test_the_user_can_say_what_a_checkpoint_is(tmp_path, capsys):
    run = write_run(tmp_path / "run", [FakeCell(checkpoint="mine", length_tokens=4096)])
    arguments = (run, "--layout", "paper2", "--compare", "published", "--as", "mine=776M/RoPE++_EH")
    assert "38.7" in table(capsys, *arguments)
    with pytest.raises(UserError, match=r"--as 'mine=776M' does not fit paper2; write CHECKPOINT=size/method"):
        table(capsys, run, "--layout", "paper2", "--as", "mine=776M")


def test_stretched_checkpoints_belong_into_table_3_only(tmp_path, capsys):
    run = write_run(tmp_path / "run", [FakeCell(length_tokens=4096, info={"scaling": "pi8"})])
    assert "linear_pi_8" in table(capsys, run, "--layout", "paper3", "--partial")
    with pytest.raises(UserError, match=r"nothing in these runs belongs into paper2 \(position scaling .*linear_pi_8"):
        table(capsys, run, "--layout", "paper2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layout", "paper4"], "unknown layout 'paper4'; did you mean paper"),
        (["--compare", "published"], "layout lengths has no published counterpart"),
        (["--layout", "paper1", "--compare", "mine"], "--compare 'mine' is not known"),
        (["--counts", "row"], "unknown count 'row'; did you mean rows"),
        (["--plain", "--significant"], "give one of the two"),
        (["--metric", "nope"], "no cell has the metric 'nope'; known: score"),
    ],
)
def test_bad_options_are_refused_in_one_line(tmp_path, capsys, arguments, message):
    run = write_run(tmp_path / "run", [FakeCell()])
    with pytest.raises(UserError) as caught:
        table(capsys, run, *arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def notes_of(capsys, folder, *arguments) -> str:
    return " ".join(table(capsys, folder, "--compare", "published", *arguments).split())


def test_differences_that_rows_do_not_explain_have_a_line_each(tmp_path, capsys):
    def run(name, right, rows):
        cells = [
            FakeCell(
                benchmark="babilong",
                task=f"babilong_qa{i}",
                length_tokens=2048,
                protocol="paper",
                scores=[1.0] * right + [0.0] * (rows - right),
                info={"parameters": 376_000_000, "max_position_embeddings": 32768},
            )
            for i in range(1, 11)
        ]
        return write_run(tmp_path / name, cells)

    # 20.0 of 1,000 rows: Wilson's interval is 17.6 to 22.6 and the paper's own 1,000 rows make its reach 1.41 times as long
    said = notes_of(capsys, run("near", 20, 100), "--layout", "paper2")
    assert "larger than rows and rounding explain: 0 of 1 difference (" in said
    said = notes_of(capsys, run("far", 40, 100), "--layout", "paper2")
    assert "larger than rows and rounding explain: 1 of 1 difference (" in said
    assert "376M RoPE, BABILong 2k: 40.0 of 1,000 rows, published 17.7: +22.3, explained 4.3" in said


def test_the_same_questions_are_no_second_draw_and_a_stream_has_no_interval(tmp_path, capsys):
    info = {"parameters": 376_000_000, "max_position_embeddings": 4096}
    common = {"protocol": "paper", "info": info, "length_tokens": 4096}
    stream = {"metric": "ppl", "rule": PERPLEXITY, "benchmark": "wikitext", "task": "wikitext_sliding"}
    questions = {"benchmark": "short", "task": "short_piqa", "scores": [1.0] * 700 + [0.0] * 300}
    run = write_run(
        tmp_path / "run",
        [
            FakeCell(**common, **stream, scores=[(math.log(20.1) * 50, 50.0)]),
            FakeCell(**common, **questions),
            FakeCell(**common, benchmark="short", task="short_gpqa", scores=[1.0]),
        ],
    )
    said = notes_of(capsys, run, "--layout", "paper1")
    assert "larger than rows and rounding explain: 2 of 2 differences (" in said
    assert "376M short RoPE, WikiText ppl: 20.1 of 1 row, published 19.9: +0.2, explained 0.1" in said
    assert "376M short RoPE, PIQA: 70.0 of 1,000 rows, published 66.3: +3.7, explained 3.0" in said
    assert "not judged: 1 difference of too few rows for an interval" in said
