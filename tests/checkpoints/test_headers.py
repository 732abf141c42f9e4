"""Safetensors headers that do not describe their file are refused before a weight is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.checkpoints.header import TensorHeader, read_headers
from ropepp_eval.checkpoints.pinned import PinnedFile
from ropepp_eval.errors import UserError
from tests.checkpoints.folders import write_header


def entry(begin: int, end: int, shape: tuple[int, ...] = (2,), dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def read(file: Path) -> dict[str, TensorHeader]:
    return read_headers([PinnedFile.of(file)])


def test_a_header_that_tiles_its_file_is_read_in_any_order(tmp_path: Path) -> None:
    header = {
        "b": entry(8, 16), "a": entry(0, 8), "none": entry(8, 8, (0, 4)), "scalar": entry(16, 18, (), "BF16"),
        "__metadata__": {"format": "pt"},
    }  # fmt: skip
    write_header(tmp_path / "f", header, bytes(18))
    start = 8 + len(json.dumps(header))
    assert {name: (t.shape, t.begin - start) for name, t in read(tmp_path / "f").items()} == {
        "a": ((2,), 0), "b": ((2,), 8), "none": ((0, 4), 8), "scalar": ((), 16),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("header", "size", "words"),
    [
        ({"a": entry(0, 8), "b": entry(4, 12)}, 12, ('"b"', "[4, 12]", "[8, 16]")),  # overlap
        ({"a": entry(0, 8), "b": entry(0, 8)}, 8, ('"b"', "[8, 16]")),  # one place for two
        ({"a": entry(0, 8), "b": entry(12, 20)}, 20, ('"b"', "[12, 20]")),  # hole
        ({"a": entry(0, 12)}, 12, ('"a"', "[0, 12]", "[0, 8]")),  # longer than its shape
        ({"a": entry(8, 0)}, 8, ('"a"', "[8, 0]")),
        ({"a": entry(0, 8, (-2, -1))}, 8, ("a.shape[0] is -2",)),
        ({"a": entry(0, 8, (1 << 40, 1 << 40))}, 8, ('"a"',)),
        ({"a": entry(0, 8)}, 12, ("bytes, but its header describes",)),  # a tail
        ({"a": entry(0, 8)}, 4, ("bytes", "describes")),  # cut off
        ({"a": entry(0, 2, dtype="F8_E4M3")}, 2, ('"F8_E4M3"',)),
        ({"a": entry(0, 8, dtype="float32")}, 8, ('"float32"',)),
        ({"a": entry(0, 8) | {"dtype": 3}}, 8, ("a.dtype is 3; it must be a text",)),
        ({"a": entry(0, 8) | {"shape": "2"}}, 8, ("a.shape",)),
        ({"a": entry(0, 8) | {"data_offsets": [0, 8, 9]}}, 8, ("a.data_offsets",)),
        ({"a": {"dtype": "F32", "shape": [2]}}, 8, ("a.data_offsets is missing",)),
        ({"a": [1]}, 8, ("a is [1]",)),
        ({"__metadata__": {"format": 3}}, 0, ("__metadata__",)),
        ("[]", 0, ("header",)),
        ('{"a": 1, "a": 2}', 0, ("twice",)),
        ('{"a": NaN}', 0, ("header",)),
        ("{" + '"a":{' * 40, 0, ("nests deeper",)),
        (b'{"\xff": 1}', 0, ("UTF-8",)),
        ("\ufeff{}", 0, ("header",)),
    ],
)  # fmt: skip
def test_a_header_that_lies_is_refused(tmp_path: Path, header: Any, size: int, words: tuple[str, ...]) -> None:
    write_header(tmp_path / "f.safetensors", header, bytes(size))
    with pytest.raises(UserError) as refused:
        read(tmp_path / "f.safetensors")
    assert str(refused.value).isprintable()
    for word in ("f.safetensors", *words):
        assert word in str(refused.value)


@pytest.mark.parametrize("length", [0, 8, 101_000_000, 2**63, 2**64 - 1])
def test_a_header_length_that_lies_is_refused(tmp_path: Path, length: int) -> None:
    (tmp_path / "f").write_bytes(length.to_bytes(8, "little") + b"xxxx")
    with pytest.raises(UserError, match="safetensors file"):
        read(tmp_path / "f")


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    for name in ("f", "g"):
        write_header(tmp_path / name, {"a": entry(0, 8)}, bytes(8))
    with pytest.raises(UserError, match=r'"a", which f holds too'):
        read_headers([PinnedFile.of(tmp_path / "f"), PinnedFile.of(tmp_path / "g")])
