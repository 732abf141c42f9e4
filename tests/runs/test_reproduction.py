"""The plans that fill the published tables: every cell behind a printed number, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.cli import main
from ropepp_eval.lengths import parse_length
from ropepp_eval.reports.published import published_table
from ropepp_eval.runs.options import RunOptions
from ropepp_eval.runs.reproduction import TABLES, reproduction


@pytest.mark.parametrize("name", TABLES)
def test_every_cell_of_a_table_is_asked_once_and_no_other(name: str) -> None:
    runs = reproduction(name, RunOptions()).runs
    table = published_table(TABLES[name])
    wanted = {
        (task, column.length_tokens or 4096) for column in table.columns for task in column.first_tasks if not column.mean_of
    }
    by_position: dict[str | None, list[tuple[str, int]]] = {}
    for run in runs:
        options = run.options
        lengths: Any = options.lengths
        tasks: Any = options.tasks
        cells = [(task, parse_length(length)) for length in lengths for task in tasks]
        by_position.setdefault(options.position, []).extend(cells)
        assert options.protocol == "paper"
    for cells in by_position.values():
        assert sorted(cells) == sorted(wanted)
    assert list(by_position) == (["+pi8", "+yarn32"] if name == "table3" else [None])
    assert len({run.file for run in runs}) == len({run.options.out for run in runs}) == len(runs)


@pytest.mark.parametrize(
    ("name", "size", "count", "first"),
    [
        ("table1", None, 18, "RoPE-DCLM-376M-4k"),
        ("table1", "776M", 9, "RoPE-DCLM-776M-4k"),
        ("table2", None, 6, "RoPE-DCLM-376M-32k"),
        ("table3", "376M", 3, "RoPE-DCLM-376M-4k"),
    ],
)
def test_checkpoints_are_those_of_the_tables_lines_in_their_order(
    name: str, size: str | None, count: int, first: str
) -> None:
    plan = reproduction(name, RunOptions(), size=size)
    for run in plan.runs:
        assert run.options.checkpoints is not None
        assert (len(run.options.checkpoints), run.options.checkpoints[0]) == (count, first)
    assert bool(plan.note) == (name == "table3")


def test_rows_are_the_papers_and_what_the_user_says_wins(tmp_path: Path) -> None:
    assert [(run.file.name, run.options.samples) for run in reproduction("table2", RunOptions()).runs] == [
        ("ruler.yaml", 100),
        ("babilong.yaml", 100),
    ]
    (short,) = reproduction("table1", RunOptions()).runs
    assert short.options.samples is not None
    assert short.options.samples > 10_042  # of the largest data set, HellaSwag's
    given = RunOptions(checkpoints=("mine",), samples=3, lengths="8k,2k", dtype="float16", out=str(tmp_path), workers=2)
    ruler, babilong = reproduction("table2", given).runs
    assert (ruler.options.lengths, babilong.options.lengths) == (("8k",), ("2k", "8k"))
    assert (ruler.options.checkpoints, ruler.options.dtype) == (("mine",), "float16")
    assert "workers" not in ruler.text
    assert ruler.options.workers == 2
    assert {run.options.position for run in reproduction("table3", given).runs} == {None}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["table4"], "unknown table 'table4'"),
        (["table2", "--size", "1.5B"], "unknown size '1.5B'; known: 376M, 776M; table2 has lines of these"),
        (["table2", "--lengths", "4k,512"], "length 512: table2 has no cell of it; it has 2k, 4k, 8k, 16k, 32k, 64k"),
        (["table1", "--samples", "0"], "samples 0 is below 1"),
        (["table1", "x", "--size", "376M"], "give one of the two"),
        (["table1", "--tasks", "vt"], "unknown option '--tasks'"),
        (["table1", "--device-model", "h100"], "add --dry-run"),
    ],
)
def test_what_can_not_be_reproduced_is_one_line_and_nothing_is_written(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
    assert not list(tmp_path.iterdir())


def test_a_run_folder_is_not_the_folder_of_all_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.json").write_text("{}")
    assert main(["reproduce", "table2", "--out", str(tmp_path)]) == 2
    assert "is one run's; name a folder for all runs of table2 with --out" in capsys.readouterr().err
