"""Published rows are used where the data folder holds them, in the hub's two layouts."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from ropepp_eval.data import open_data
from ropepp_eval.data.published_babilong import read_published
from ropepp_eval.errors import UserError
from ropepp_eval.rows.building import frozen_rows
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tasks.babilong.builders import babilong_rows
from ropepp_eval.tasks.babilong.prompts import task_prompt
from ropepp_eval.tokens.tokenizer import load_tokenizer

ROWS = [
    {"input": f"The rain fell. John went to the {room}.", "question": "Where is John? ", "target": room}
    for room in ("hallway", "kitchen", "garden")
]


def write_json(root: Path, length: str) -> None:
    path = root / "babilong/data/qa1" / f"{length}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(ROWS), encoding="utf-8")


def write_json_lines(root: Path, length: str) -> None:
    path = root / "babilong/qa1" / f"{length}.json"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")


def write_parquet(root: Path, length: str) -> None:
    folder = root / "babilong" / length
    folder.mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS[:2]), folder / "qa1-00000-of-00002.parquet")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS[2:]), folder / "qa1-00001-of-00002.parquet")


def build(root: Path, tokenizer: Path, length: int, samples: int = 10) -> list[Row]:
    request = RowRequest(
        task="babilong_qa1",
        length_tokens=length,
        samples=samples,
        seed=42,
        protocol="reference",
        tokenizer=load_tokenizer(str(tokenizer)),
        data=open_data(root),
    )
    return frozen_rows(request, babilong_rows)


@pytest.mark.parametrize("write", [write_json, write_json_lines, write_parquet])
def test_published_rows_become_rows_in_their_order(write, tmp_path: Path, tiny_tokenizer_dir: Path) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path, "4k")
    rows = build(tmp_path, tiny_tokenizer_dir, 4096)
    assert [row.references[0] for row in rows] == ["hallway", "kitchen", "garden"]
    assert rows[0].prompt == task_prompt("qa1").fill(ROWS[0]["input"], ROWS[0]["question"])
    assert rows[0].details["source"] == "published"
    assert not rows[0].stand_in


def test_a_published_row_over_the_length_is_an_error_and_never_cut(tmp_path: Path, tiny_tokenizer_dir: Path) -> None:
    write_json(tmp_path, "300")
    with pytest.raises(UserError, match=r"published row 0 of 300 needs \d+ tokens with this tokenizer"):
        build(tmp_path, tiny_tokenizer_dir, 300)


def test_published_rows_of_another_length_are_not_taken(tmp_path: Path) -> None:
    write_json(tmp_path, "4k")
    assert read_published(open_data(tmp_path), "qa1", "8k") is None
    assert read_published(open_data(tmp_path), "qa2", "4k") is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[{", r"4k.json is not JSON \(line 1 column 3"),
        ('[{"input": "a", "question": "b"}]', r"4k.json: record 0: target is missing"),
    ],
)
def test_a_broken_published_file_is_named(text: str, complaint: str, tmp_path: Path) -> None:
    write_json(tmp_path, "4k")
    (tmp_path / "babilong/data/qa1/4k.json").write_text(text)
    with pytest.raises(UserError, match=complaint):
        read_published(open_data(tmp_path), "qa1", "4k")
