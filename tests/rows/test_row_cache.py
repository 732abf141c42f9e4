"""Rows are built once, found again, and built anew where their file is damaged or what they depend on has changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ropepp_eval.data import open_data
from ropepp_eval.errors import UserError
from ropepp_eval.rows import building, cache_key
from ropepp_eval.rows import files as row_files
from ropepp_eval.rows.building import frozen_rows
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.tasks.ruler.build import build_rows
from tests.rows.small_requests import small_request
from tests.tokens.tokenizers_to_try import like_llama3

REQUEST = small_request("niah_single_2", samples=5)


class Counted:
    """The real builder, counting how often it is asked."""

    __module__ = "ropepp_eval.tasks.ruler.build"

    def __init__(self) -> None:
        self.times = 0
        self.files_read = build_rows.files_read  # type: ignore[attr-defined]

    def __call__(self, request: RowRequest) -> list[Row]:
        self.times += 1
        return build_rows(request)


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counted:
    monkeypatch.setenv("ROPEPP_EVAL_CACHE", str(tmp_path / "cache"))
    return Counted()


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").rglob("*.parquet"))


def test_a_second_run_reads_equal_rows_and_builds_none(builder: Counted) -> None:
    first = frozen_rows(REQUEST, builder)
    again = frozen_rows(REQUEST, builder)
    assert builder.times == 1
    assert [row.sha256 for row in first] == [row.sha256 for row in again]
    assert first == again == build_rows(REQUEST)


def test_fewer_rows_are_the_first_ones_and_more_are_built(builder: Counted, tmp_path: Path) -> None:
    five = frozen_rows(REQUEST, builder)
    assert frozen_rows(replace(REQUEST, samples=2), builder) == five[:2]
    assert builder.times == 1
    assert frozen_rows(replace(REQUEST, samples=7), builder)[:5] == five
    assert builder.times == 2
    assert len(files(tmp_path)) == 1
    assert frozen_rows(REQUEST, builder) == five
    assert builder.times == 2


def test_a_corpus_with_fewer_rows_than_asked_is_not_built_again(builder: Counted) -> None:
    class Few(Counted):
        __module__ = Counted.__module__

        def __call__(self, request: RowRequest) -> list[Row]:
            return super().__call__(replace(request, samples=3))

    few = Few()
    assert len(frozen_rows(REQUEST, few)) == len(frozen_rows(replace(REQUEST, samples=9), few)) == 3
    assert few.times == 1


@pytest.mark.parametrize("damage", ["cut", "flipped", "other file"])
def test_a_damaged_file_is_noticed_and_built_anew(builder: Counted, tmp_path: Path, damage: str) -> None:
    rows = frozen_rows(REQUEST, builder)
    (path,) = files(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[200] ^= 1
    else:
        content = bytearray(b"not a Parquet file")
    path.write_bytes(content)
    assert frozen_rows(REQUEST, builder) == rows
    assert builder.times == 2
    assert frozen_rows(REQUEST, builder) == rows
    assert builder.times == 2


def test_prompts_stay_in_the_file_until_they_are_asked_for(builder: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    built = build_rows(REQUEST)
    monkeypatch.setattr(row_files, "_GROUP_CHARACTERS", 2 * max(len(row.prompt) for row in built))
    for rows in (frozen_rows(REQUEST, builder), frozen_rows(REQUEST, builder)):  # made, and read
        for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [0, 3, 1, 1, 4, 2], [1, 2, 0]):
            assert [rows[i].prompt for i in order] == [built[i].prompt for i in order]
        assert all("prompt" not in vars(row) for row in rows)
        other = frozen_rows(replace(REQUEST, seed=2), builder)
        assert [rows[1].prompt, other[1].prompt, rows[2].prompt] == [
            built[1].prompt, build_rows(replace(REQUEST, seed=2))[1].prompt, built[2].prompt,
        ]  # fmt: skip
        assert [row.sha256 for row in rows] == [row.sha256 for row in built]  # the ones written down, not made anew
        assert replace(rows[0], row=7).prompt == built[0].prompt
        assert rows[0] != rows[1]
        with pytest.raises(AttributeError, match="no 'promt'"):
            _ = rows[0].promt  # type: ignore[attr-defined]


@pytest.mark.parametrize("damage", ["gone", "flipped", "other file"])
def test_a_file_damaged_during_a_run_is_noticed_and_its_rows_built_anew(
    builder: Counted, tmp_path: Path, damage: str
) -> None:
    built = build_rows(REQUEST)
    rows = frozen_rows(REQUEST, builder)
    (path,) = files(tmp_path)
    content = path.read_bytes()
    path.unlink()
    if damage == "flipped":
        path.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    elif damage == "other file":
        path.write_bytes(b"not a Parquet file")
    assert [row.prompt for row in rows] == [row.prompt for row in built]
    assert builder.times == 2  # once for all rows


def test_rows_that_come_out_otherwise_during_a_run_stop_it(builder: Counted, tmp_path: Path) -> None:
    class Other(Counted):
        __module__ = Counted.__module__

        def __call__(self, request: RowRequest) -> list[Row]:
            return super().__call__(replace(request, seed=request.seed + self.times))

    rows = frozen_rows(REQUEST, Other())
    (path,) = files(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match="changed during the run; leave both alone, and run again"):
        _ = rows[0].prompt


def test_whatever_rows_depend_on_names_another_file(builder: Counted, tmp_path: Path) -> None:
    essays = tmp_path / "data" / "essays"
    essays.mkdir(parents=True)
    (essays / "a.txt").write_text("One text. " * 300, encoding="utf-8")
    requests = [
        REQUEST,
        replace(REQUEST, task="niah_single_1"),
        replace(REQUEST, length_tokens=600),
        replace(REQUEST, seed=2),
        replace(REQUEST, protocol="paper"),
        replace(REQUEST, tokenizer=like_llama3()),
        replace(REQUEST, protocol="paper", data=open_data(tmp_path / "data")),
    ]
    names = [cache_key.cache_file(request, builder) for request in requests]
    (essays / "a.txt").write_text("Other text. " * 300, encoding="utf-8")
    names.append(cache_key.cache_file(requests[-1], builder))
    assert len(set(names)) == len(names)
    assert cache_key.cache_file(replace(REQUEST, samples=9), builder) == names[0]


def test_the_cache_can_be_off_or_out_of_reach(builder: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = frozen_rows(REQUEST, builder)
    monkeypatch.setenv("ROPEPP_EVAL_CACHE", "off")
    assert frozen_rows(REQUEST, builder) == rows
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("ROPEPP_EVAL_CACHE", str(tmp_path / "file"))
    assert frozen_rows(REQUEST, builder) == rows
    assert builder.times == 3


def test_rows_of_builders_that_are_no_tasks_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROPEPP_EVAL_CACHE", str(tmp_path / "cache"))
    assert frozen_rows(REQUEST, lambda request: build_rows(request)) == build_rows(REQUEST)
    assert not files(tmp_path)


def test_a_row_over_its_length_is_a_loud_error() -> None:
    row = replace(build_rows(REQUEST)[0], prompt_tokens=1000)
    with pytest.raises(ValueError, match="over its length of 512; this is a bug"):
        building.frozen_rows(REQUEST, lambda _: [row])
