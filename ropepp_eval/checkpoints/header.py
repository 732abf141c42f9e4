"""Names, dtypes and shapes of a checkpoint's tensors, read from safetensors headers without loading weights."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path

from ropepp_eval.errors import UserError

_BITS = {
    "F64": 64,
    "F32": 32,
    "F16": 16,
    "BF16": 16,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "I64": 64,
    "I32": 32,
    "I16": 16,
    "I8": 8,
    "U8": 8,
    "BOOL": 8,
}
_LONGEST_HEADER_BYTES = 100_000_000  # the format's own limit


@dataclass(frozen=True)
class TensorHeader:
    """One tensor as a safetensors header describes it."""

    dtype: str
    """As the format writes it, such as BF16."""
    shape: tuple[int, ...]
    file: str
    """Name of the file that holds it."""

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)


def read_headers(files: list[Path]) -> dict[str, TensorHeader]:
    """All tensors of some safetensors files by name.

    Raises:
        UserError: a file is cut off, is not safetensors, or repeats a tensor of another.
    """
    tensors: dict[str, TensorHeader] = {}
    for file in files:
        for name, tensor in _read_one(file).items():
            if name in tensors:
                raise UserError(f"{file} holds {name!r}, which {tensors[name].file} holds too; remove the stale file")
            tensors[name] = tensor
    return tensors


def _broken(file: Path, why: str) -> UserError:
    return UserError(f"{file} is not a whole safetensors file ({why}); copy or download it again")


def _read_one(file: Path) -> dict[str, TensorHeader]:
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        if len(start) < 8:
            raise _broken(file, f"{size} bytes")
        length = struct.unpack("<Q", start)[0]
        if length > _LONGEST_HEADER_BYTES:
            raise _broken(file, "its first bytes are no header length")
        if 8 + length > size:
            raise _broken(file, f"{size} bytes, but the header alone needs {8 + length}")
        text = stream.read(length)
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        ends = [entry["data_offsets"][1] for entry in header.values()]
        tensors = {name: TensorHeader(e["dtype"], tuple(e["shape"]), file.name) for name, e in header.items()}
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise _broken(file, "its header is not the JSON the format asks for") from error
    wanted = 8 + length + max(ends, default=0)
    if size != wanted:
        raise _broken(file, f"{size} bytes, but its header describes {wanted}")
    return tensors


def parameter_bytes(tensors: dict[str, TensorHeader]) -> int:
    """Bytes of all tensors; what has an unknown dtype counts as four bytes an entry."""
    return sum(t.size * _BITS.get(t.dtype, 32) // 8 for t in tensors.values())


def main_dtype(tensors: dict[str, TensorHeader]) -> str:
    """The dtype that most entries have, as torch calls it, such as `bfloat16`."""
    sizes: dict[str, int] = {}
    for tensor in tensors.values():
        sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.size
    most = max(sizes, key=lambda dtype: sizes[dtype])
    names = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}
    if most not in names:
        raise UserError(f"the weights are stored as {most}, which is not supported; convert them to BF16, F16 or F32")
    return names[most]
