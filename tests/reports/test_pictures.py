"""Pictures: complete in words, the same bytes for the same rows, told apart without colour, refused where nothing is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ropepp_eval.cli import plot as command
from ropepp_eval.errors import UserError
from ropepp_eval.reports.depths import depths_of
from ropepp_eval.reports.style import COLOURS, LINES, MARKERS
from tests.reports.results_folders import FakeCell, printed, write_run

NAMES = ["rope", "ropepp_eh", "ropepp_ec", "fope", "partial", "alibi", "nope"]
BUCKET = {"aggregation": "weighted_perplexity", "higher_is_better": False, "scale": 1.0}


def cells(checkpoints: int, lengths: list[int]) -> list[FakeCell]:
    return [
        FakeCell(
            checkpoint=name,
            position=name,
            length_tokens=length,
            scores=[1.0] * (9 - i) + [0.0] * (1 + i),
            depths=[10.0 * row for row in range(10)],
            info={"kv_bytes_per_token": 2048 * (1 + i % 2), "max_position_embeddings": 4096},
        )
        for i, name in enumerate(NAMES[:checkpoints])
        for length in lengths
    ]


@pytest.mark.parametrize("checkpoints", [1, 3, 7])
@pytest.mark.parametrize("lengths", [[4096], [0, 2048, 4096], [2048 << i for i in range(6)]])
def test_every_kind_is_drawn_for_few_and_many_checkpoints_and_lengths(tmp_path, capsys, checkpoints, lengths):
    run = write_run(tmp_path / "run", cells(checkpoints, lengths))
    out = printed(command, capsys, run, "--out", tmp_path / "plots", "--format", "svg").splitlines()
    assert [line.rpartition("/")[2].partition("-")[0] for line in out] == ["lengths", "depth", "cache"]
    text = {line.rpartition("/")[2].partition("-")[0]: Path(line).read_text(encoding="utf-8") for line in out}
    for name in NAMES[:checkpoints]:
        assert all(f">{name}" in drawn for drawn in text.values())
    assert "context length (tokens, 1k = 1,024)" in text["lengths"]
    assert "score in percent (higher is better)" in text["lengths"]
    assert "trained at 4k" in text["lengths"]
    assert ">trained length<" in text["lengths"]
    assert "depth of the fact (0 % = beginning of the context)" in text["depth"]
    assert ">n 1<" in text["depth"]
    assert "KV cache (KiB per token" in text["cache"]


def test_the_same_rows_give_the_same_bytes(tmp_path, capsys):
    run = write_run(tmp_path / "run", cells(2, [2048, 4096]))
    first = printed(command, capsys, run, "--out", tmp_path / "first").splitlines()
    second = printed(command, capsys, run, "--out", tmp_path / "second").splitlines()
    assert len(first) == 6
    for one, other in zip(first, second, strict=True):
        assert Path(one).read_bytes() == Path(other).read_bytes()


def test_seven_checkpoints_differ_in_colour_marker_and_line():
    assert len(set(COLOURS)) == len(set(MARKERS)) == len(set(LINES)) == 7


def test_loss_by_position_is_drawn_from_the_buckets(tmp_path, capsys):
    scores = [{f"perplexity_at_{1 << i}": [-(4.0 - 0.1 * i) * 10, 10] for i in range(5)} for _ in range(3)]
    cell = FakeCell(benchmark="wikitext", task="wikitext_positions", metric="perplexity_at_1", rule=BUCKET, scores=scores)
    run = write_run(tmp_path / "run", [cell])
    manifest = json.loads((run / "run.json").read_text())
    manifest["tasks"]["wikitext_positions"]["metrics"] = {f"perplexity_at_{1 << i}": BUCKET for i in range(5)}
    (run / "run.json").write_text(json.dumps(manifest))
    out = printed(command, capsys, run, "--kind", "positions", "--out", tmp_path, "--format", "svg").split()
    assert [path.rpartition("/")[2] for path in out] == ["positions-reference-wikitext_positions-4k.svg"]
    assert "loss (nats per token; lower is better)" in Path(out[0]).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "depths"], "unknown kind 'depths'; did you mean depth"),
        (["--format", "pdf"], "unknown picture format 'pdf'"),
        (["--kind", "positions"], "nothing to draw for --kind positions; it needs the task wikitext_positions"),
        (["--kind", "depth"], "nothing to draw for --kind depth"),
        (["--kind", "cache"], "nothing to draw for --kind cache"),
    ],
)
def test_what_can_not_be_drawn_is_said_in_one_line(tmp_path, capsys, arguments, message):
    run = write_run(tmp_path / "run", [FakeCell()])
    with pytest.raises(UserError) as caught:
        printed(command, capsys, run, "--out", tmp_path / "plots", *arguments)
    assert message in str(caught.value)


def test_rows_that_all_failed_draw_nothing(tmp_path, capsys):
    run = write_run(tmp_path / "run", [FakeCell(scores=[None, None])])
    with pytest.raises(UserError, match="nothing to draw: no cell of these runs has a score"):
        printed(command, capsys, run, "--out", tmp_path / "plots")


def test_an_output_folder_that_is_a_file_is_refused(tmp_path, capsys):
    run = write_run(tmp_path / "run", [FakeCell()])
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't be written"):
        printed(command, capsys, run, "--out", tmp_path / "file")


@pytest.mark.parametrize(
    ("details", "depths"),
    [
        ({"needles": [{"depth_percent": 20, "queried": False}, {"depth_percent": 70, "queried": True}]}, [70]),
        ({"depths_percent": [30]}, [30]),
        ({"depths": [1.5, 2.5]}, [1.5, 2.5]),
        ({"depth": 40}, [40]),
        ({}, []),
        (None, []),
    ],
)
def test_depths_are_read_however_the_task_wrote_them(details, depths):
    assert depths_of(details) == depths


def test_facts_alone_stand_one_step_before_the_shortest_length():
    from ropepp_eval.reports.plots import axis_places

    assert axis_places([0, 2048, 4096]) == [1024.0, 2048.0, 4096.0]
    assert axis_places([0]) == [512.0]
    assert axis_places([1024, 65536]) == [1024.0, 65536.0]
