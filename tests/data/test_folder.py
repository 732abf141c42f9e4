"""The data folder: which files were used, their hash, and that they stay the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ropepp_eval.data import open_data
from ropepp_eval.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {"gutenberg/a.txt": "A", "gutenberg/b.txt": "B", "essays/c.txt": "C"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_files_come_in_name_order(root: Path) -> None:
    assert [path.name for path in open_data(root).files("gutenberg", "*.txt")] == ["a.txt", "b.txt"]


def test_the_hash_covers_the_files_used_and_no_others(root: Path) -> None:
    data = open_data(root)
    nothing = data.sha256
    data.files("gutenberg", "*.txt")
    books = data.sha256
    (root / "essays/c.txt").write_text("another essay")
    assert data.sha256 == books != nothing
    data.files("essays", "*.txt")
    assert data.sha256 != books


def test_the_hash_is_of_names_and_contents_not_of_the_place(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    copy = tmp_path_factory.mktemp("copy")
    (copy / "essays").mkdir()
    (copy / "essays/c.txt").write_text("C")
    one, other = open_data(root), open_data(copy)
    one.files("essays", "*.txt")
    other.files("essays", "*.txt")
    assert one.sha256 == other.sha256


def test_a_file_that_changes_under_a_run_is_an_error(root: Path) -> None:
    data = open_data(root)
    data.files("gutenberg", "*.txt")
    data.check_unchanged()
    (root / "gutenberg/b.txt").write_text("another book")
    with pytest.raises(UserError, match=r"b\.txt changed while it was being used"):
        data.check_unchanged()
    with pytest.raises(UserError, match="changed while it was being used"):
        _ = data.sha256


def test_a_file_of_the_same_size_that_changes_is_an_error_too(root: Path) -> None:
    data = open_data(root)
    data.files("gutenberg", "*.txt")
    (root / "gutenberg/b.txt").write_text("b")
    os.utime(root / "gutenberg/b.txt", ns=(1, 1))
    with pytest.raises(UserError, match="changed while it was being used"):
        data.check_unchanged()


def test_a_file_that_goes_away_under_a_run_is_an_error(root: Path) -> None:
    data = open_data(root)
    data.files("gutenberg", "*.txt")
    (root / "gutenberg/a.txt").unlink()
    with pytest.raises(UserError, match=r"a\.txt changed"):
        data.check_unchanged()


def test_missing_files_are_named(root: Path) -> None:
    with pytest.raises(UserError, match=r"has no lambada/lambada_test\.jsonl; put the files there"):
        open_data(root).files("lambada", "lambada_test.jsonl")
    assert open_data(root).find("lambada", "lambada_test.jsonl") == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not there; name an existing folder with --data-dir"):
        open_data(tmp_path / "nowhere")


def test_without_a_folder_there_are_no_files() -> None:
    data = open_data(None)
    assert data.root is None
    assert data.files("gutenberg", "*.txt") == []
