"""Parquet: typed whatever is in the rows, every column said."""

from __future__ import annotations

from pathlib import Path

import pandas
import pyarrow.parquet as pq

from ropepp_eval.reports.frame import read_results
from ropepp_eval.reports.row_frame import COLUMNS
from ropepp_eval.reports.share.contents import Shared
from ropepp_eval.reports.share.parquet_files import write_parquet
from tests.reports.share.conftest import ANSWERS, HOSTILE, share


def test_rows_and_cells_hold_what_our_frames_hold(run: Path, tmp_path: Path) -> None:
    out = share(run, "parquet", tmp_path / "out")
    rows, cells = (pandas.read_parquet(out / f"{name}.parquet") for name in ("rows", "cells"))
    assert list(rows.columns) == list(COLUMNS)
    assert rows["answer"][0] == ANSWERS[0]
    assert rows["answer"][1] == r"half \ud800 a character"
    assert HOSTILE in set(rows["checkpoint"])
    results = read_results(run)
    pandas.testing.assert_frame_equal(
        cells[list(results.columns)], results.astype(cells[list(results.columns)].dtypes), check_dtype=False
    )
    one = cells.iloc[1]
    assert one["low"] < one["value"] < one["high"]
    assert cells["value"].isna().sum() == 1  # all its rows failed: empty, never 0


def test_every_column_is_said_in_the_schema_and_beside_it(shared: Shared, tmp_path: Path) -> None:
    write_parquet(shared, tmp_path)
    dictionary = (tmp_path / "DICTIONARY.md").read_text(encoding="utf-8")
    for name, part in zip(("rows", "cells"), dictionary.split("\n## ")[1:], strict=True):
        own = part.splitlines()
        assert own[0] == f"{name}.parquet"
        for field in pq.read_schema(tmp_path / f"{name}.parquet"):
            (line,) = [one for one in own if one.startswith(f"| `{field.name}` | ")]
            assert line.endswith(f" | {field.metadata[b'description'].decode()} |")
    assert pq.read_table(tmp_path / "rows.parquet")["prompt"][0].as_py() == r"prompt 0 \ud800"
