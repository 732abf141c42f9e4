"""Pictures: complete in words, the same bytes for the same rows, told apart without colour, refused where nothing is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from ropepp_eval.cli import plot as command
from ropepp_eval.errors import UserError
from ropepp_eval.reports.cells import read_cells
from ropepp_eval.reports.depths import boxes_for, depths_of
from ropepp_eval.reports.layouts import LayoutOptions
from ropepp_eval.reports.pictures import KINDS, draw
from ropepp_eval.reports.style import COLOURS, LINES, MARKER_SIZE, MARKERS
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
    assert ">trained length (4k)<" in text["lengths"]
    assert text["depth"].count(">trained at 4k<") == checkpoints
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


def legend(figure: Figure) -> list[str]:
    return [entry.get_text() for entry in figure.legends[0].get_texts()]


def styles(figure: Figure) -> dict[str, tuple[object, ...]]:
    """By label: colour, marker and dashes of a line."""
    return {
        str(line.get_label()): (line.get_color(), line.get_marker(), str(line._unscaled_dash_pattern))
        for line in figure.axes[0].get_lines()
        if len(line.get_xdata()) and not str(line.get_label()).startswith("_")
    }


def ordered_cells() -> list[FakeCell]:
    """Three checkpoints in an order that is not the alphabet's; the first has no perplexities by position."""
    found = []
    for name, first in (("c", 4.0), ("a", 5.0), ("b", 3.0)):
        info = {"kv_bytes_per_token": 2048, "max_position_embeddings": 8192}
        for length in (2048, 4096):
            found.append(FakeCell(checkpoint=name, length_tokens=length, depths=[5.0, 15.0, 25.0, 35.0], info=info))
            scores = [{f"perplexity_at_{1 << i}": [-first * 10, 10] for i in range(3)}] * 3
            facts = {"metric": "perplexity_at_1", "rule": BUCKET, "scores": scores, "info": info}
            if name != "c":
                found.append(
                    FakeCell(checkpoint=name, benchmark="wikitext", task="wikitext_positions", length_tokens=length, **facts)
                )
    return found


def with_buckets(run: Path, buckets: int) -> Path:
    """The run, its manifest naming the metrics of `buckets` positions."""
    manifest = json.loads((run / "run.json").read_text())
    manifest["tasks"]["wikitext_positions"]["metrics"] = {f"perplexity_at_{1 << i}": BUCKET for i in range(buckets)}
    (run / "run.json").write_text(json.dumps(manifest))
    return run


def test_a_checkpoint_looks_the_same_and_stands_in_the_order_of_the_run_in_every_picture(tmp_path):
    cells = read_cells(with_buckets(write_run(tmp_path / "run", ordered_cells()), 3))
    figures = {kind: [picture.figure for picture in draw(cells, kind, LayoutOptions())] for kind in KINDS}
    drawn = [figure for kind in ("lengths", "positions", "cache") for figure in figures[kind]]
    wanted = {label: style for figure in drawn for label, style in styles(figure).items()}
    assert len({wanted[name][:2] for name in "abc"}) == 3
    for figure in drawn:
        found = styles(figure)
        lines_only = {label: style[:2] for label, style in found.items()}  # a single point has no dashes
        assert lines_only == {label: wanted[label][:2] for label in found}
        assert [label for label in legend(figure) if label in "abc"] == [label for label in "cab" if label in found]
    assert {"a", "b"} < set(styles(figures["lengths"][0]))
    assert set(styles(figures["positions"][0])) == {"a", "b"}
    assert [axes.get_title().split("\n")[0] for axes in figures["depth"][0].axes][:3] == ["c", "a", "b"]


@pytest.mark.parametrize("checkpoints", [1, 2, 7])
def test_points_stand_at_their_length_within_the_width_of_a_marker(tmp_path, checkpoints):
    lengths = [0, 2048, 4096]
    run = write_run(tmp_path / "run", cells(checkpoints, lengths))
    (picture,) = draw(read_cells(run), "lengths", LayoutOptions())
    figure, (axes,) = picture.figure, picture.figure.axes
    FigureCanvasAgg(figure).draw()
    marker = MARKER_SIZE * figure.dpi / 72
    lines = [line for line in axes.get_lines() if str(line.get_label()) in NAMES]
    assert len(lines) == checkpoints
    drawn = []
    for line in lines:
        assert list(line.get_xdata()) == [1024.0, 2048.0, 4096.0]
        places = line.get_transform().transform(line.get_xydata())[:, 0]
        exact = axes.transData.transform(line.get_xydata())[:, 0]
        assert abs(places - exact).max() <= marker / 2 + 1e-6
        drawn.append(tuple(places))
    assert len(set(drawn)) == checkpoints, "so that equal values stay visible"


@pytest.mark.parametrize(
    ("depths", "boxes"),
    [
        ([[5.0 + 10 * i for i in range(10)]], 10),
        ([[3.0, 11.0, 17.0, 25.0, 34.0, 41.0, 44.0, 58.0, 63.0, 66.0, 79.0, 85.0, 86.0, 97.0, 99.0]], 10),
        ([[3.0, 17.0, 25.0, 34.0, 58.0, 66.0, 86.0, 97.0, 99.0, 21.0, 22.0, 23.0, 24.0]], 5),
        ([[3.0, 17.0, 25.0, 34.0, 58.0, 86.0, 97.0, 99.0]], 4),
        ([[1.0, 99.0]], 2),
        ([[50.0]], 1),
        ([[float(i) for i in range(9)] * 2, [5.0 + 10 * i for i in range(10)], [5.0 + 10 * i for i in range(10)]], 10),
    ],
)
def test_depth_maps_are_as_fine_as_the_rows_fill(tmp_path, depths, boxes):
    made = [FakeCell(length_tokens=256 << i, depths=found, scores=[1.0] * len(found)) for i, found in enumerate(depths)]
    read = read_cells(write_run(tmp_path / "run", made))
    assert boxes_for(read.cells) == boxes
    (picture,) = draw(read, "depth", LayoutOptions())
    texts = [text.get_text() for text in picture.figure.axes[0].texts]
    assert all("n 0" not in text for text in texts)
    assert sum(int(text.rpartition("n ")[2]) for text in texts) == sum(map(len, depths))


@pytest.mark.parametrize("kind", ["lengths", "depth", "cache"])
def test_seven_checkpoints_are_readable_at_800_pixels(tmp_path, kind):
    """Every word is at least 7 pixels high there, and no two of them overlap."""
    run = write_run(tmp_path / "run", cells(7, [2048 << i for i in range(6)]))
    for picture in draw(read_cells(run), kind, LayoutOptions()):
        canvas = FigureCanvasAgg(picture.figure)
        canvas.draw()
        shrunk = 800 / picture.figure.bbox.width
        texts = [text for text in picture.figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
        boxes = [text.get_window_extent() for text in texts]
        assert min(text.get_fontsize() * picture.figure.dpi / 72 * shrunk for text in texts) >= 7
        for i, one in enumerate(boxes):
            for other in boxes[i + 1 :]:
                assert not (one.width and other.width and one.padded(-1).overlaps(other.padded(-1)))


def test_a_ring_marks_the_effective_length(tmp_path):
    made = [
        FakeCell(length_tokens=2048 << i, scores=[1.0] * right + [0.0] * (10 - right)) for i, right in enumerate((10, 9, 3))
    ]
    (picture,) = draw(read_cells(write_run(tmp_path / "run", made)), "lengths", LayoutOptions())
    rings = [line for line in picture.figure.axes[0].get_lines() if line.get_markersize() > MARKER_SIZE]
    assert [(list(ring.get_xdata()), list(ring.get_ydata())) for ring in rings] == [([4096.0], [90.0])]
    assert "ring: effective length" in picture.figure.axes[0].get_title()


def test_trained_lengths_stand_at_the_checkpoints_where_they_differ(tmp_path):
    named = [("a", 4096), ("b", 8192)]
    run = write_run(
        tmp_path / "run",
        [
            FakeCell(checkpoint=name, length_tokens=length, info={"max_position_embeddings": trained})
            for name, trained in named
            for length in (2048, 4096)
        ],
    )
    (picture,) = draw(read_cells(run), "lengths", LayoutOptions())
    assert legend(picture.figure) == ["a (trained at 4k)", "b (trained at 8k)", "trained length"]


def test_a_common_trained_length_off_the_axis_is_still_said(tmp_path):
    cell = FakeCell(length_tokens=2048, info={"max_position_embeddings": 65536})
    (picture,) = draw(read_cells(write_run(tmp_path / "run", [cell])), "lengths", LayoutOptions())
    assert legend(picture.figure) == ["rope", "trained at 64k (off axis)"]


@pytest.mark.parametrize("length", [10, 35, 60])
def test_names_of_any_length_are_whole_and_leave_room_for_the_data(tmp_path, length):
    cells = [FakeCell(checkpoint=f"{name:x<{length}}", length_tokens=n) for name in NAMES for n in (2048, 4096)]
    (picture,) = draw(read_cells(write_run(tmp_path / "run", cells)), "lengths", LayoutOptions())
    canvas = FigureCanvasAgg(picture.figure)
    canvas.draw()
    box = picture.figure.legends[0].get_window_extent()
    axes = picture.figure.axes[0].get_window_extent()
    assert all(picture.figure.bbox.contains(*corner) for corner in box.corners())
    assert not box.overlaps(axes)
    assert axes.width > 0.5 * picture.figure.bbox.width


def test_loss_by_position_is_drawn_from_the_buckets(tmp_path, capsys):
    scores = [{f"perplexity_at_{1 << i}": [-(4.0 - 0.1 * i) * 10, 10] for i in range(5)} for _ in range(3)]
    cell = FakeCell(benchmark="wikitext", task="wikitext_positions", metric="perplexity_at_1", rule=BUCKET, scores=scores)
    run = with_buckets(write_run(tmp_path / "run", [cell]), 5)
    out = printed(command, capsys, run, "--kind", "positions", "--out", tmp_path, "--format", "svg").split()
    assert [path.rpartition("/")[2] for path in out] == ["positions-reference-wikitext_positions-4k.svg"]
    assert "loss (nats per token; lower is better)" in Path(out[0]).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "depths"], "unknown kind 'depths'; did you mean depth"),
        (["--format", "pdf"], "unknown picture format 'pdf'"),
        (
            ["--kind", "positions"],
            "nothing to draw for --kind positions; it needs a task with metrics `perplexity_at_POSITION`",
        ),
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
