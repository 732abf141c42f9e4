"""Which rows a page holds, and how their texts are shortened."""

from __future__ import annotations

from collections import Counter

import pytest

from ropepp_eval.errors import UserError
from ropepp_eval.reports.cells import read_cells
from ropepp_eval.reports.page.rows import chosen, parse_limit, row_id, rows_of_page, short
from ropepp_eval.reports.row_views import row_views
from tests.reports.results_folders import FakeCell, write_run


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Two checkpoints with the same 200 questions: 10 failed, 90 wrong, 100 right each."""
    scores = [None] * 10 + [0.0] * 90 + [1.0] * 100
    folder = tmp_path_factory.mktemp("rows") / "run"
    return read_cells(write_run(folder, [FakeCell(checkpoint=name, scores=scores) for name in "ab"]))


def test_all_and_wrong_keep_what_they_say(cells):
    views = row_views(cells)
    assert chosen(views, "all") == views
    assert Counter(view.outcome for view in chosen(views, "wrong")) == {"failed": 20, "wrong": 180}
    assert rows_of_page(cells, "all").said == ""


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        (400, {"failed": 20, "wrong": 180, "right": 200}),
        (250, {"failed": 20, "wrong": 180, "right": 50}),
        (100, {"failed": 20, "wrong": 70, "right": 10}),
        (10, {"failed": 9, "right": 1}),
        (0, {}),
    ],
)
def test_a_number_keeps_trouble_first_and_some_right_ones(cells, limit, kept):
    assert Counter(view.outcome for view in chosen(row_views(cells), limit)) == kept


def test_the_sample_asks_every_checkpoint_the_same_questions(cells):
    asked = {}
    for view in chosen(row_views(cells), 250):
        if view.outcome == "right":
            asked.setdefault(view.checkpoint, set()).add(view.record["row"])
    one, other = asked.values()
    assert one == other
    assert one != set(range(100, 125))  # drawn, not the first


def test_what_is_left_out_is_said(cells):
    said = rows_of_page(cells, 100).said
    assert "this page holds 100 rows of 400: 10 of 200 right, 70 of 180 wrong, 20 of 20 failed" in said


def test_questions_stand_once_and_answers_name_them(cells):
    rows = rows_of_page(cells, "all")
    assert len(rows.questions["row"]) == 200
    assert len(rows.answers["id"]) == len(set(rows.answers["id"])) == 400
    assert rows.answers["question"][:200] == rows.answers["question"][200:]


def test_a_row_has_one_address_whatever_page_holds_it(cells):
    everywhere = {row_id(view) for view in row_views(cells)}
    assert set(rows_of_page(cells, 50).answers["id"]) <= everywhere


@pytest.mark.parametrize("text", ["al", "-1", "1.5", "²", "9" * 12, ""])
def test_another_limit_is_refused(text):
    with pytest.raises(UserError, match="it may be all, wrong"):
        parse_limit(text)


def test_a_long_text_keeps_head_and_tail():
    assert short("a" * 2000) == "a" * 2000
    cut = short("a" * 3000 + "\x00b" * 250)
    assert cut.startswith("a" * 1500 + " [... 1,500 characters left out ...] ")
    assert cut.endswith("\\u0000b")
