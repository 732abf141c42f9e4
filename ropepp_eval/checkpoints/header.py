"""Names, dtypes and shapes of a checkpoint's tensors, read from safetensors headers without loading weights.

A header must describe its file byte for byte: each tensor as long as its shape and dtype make it, one after the other without
overlap or gap, from the header's end to the file's.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ropepp_eval.checkpoints.formats import TensorEntry
from ropepp_eval.checkpoints.pinned import PinnedFile
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.outside import Limits, checked, parse_json, shown

DTYPES = {"F64": ("float64", 8), "F32": ("float32", 4), "F16": ("float16", 2), "BF16": ("bfloat16", 2)}
"""Dtypes of the format that a model can be computed from: torch's name and the bytes of an entry."""
_OTHER_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "I32": 4, "I64": 8}
"""Bytes of an entry of dtypes that no model is computed from, though old releases stored masks as them."""
_LIMITS = Limits(size_bytes=100_000_000, depth=4)  # the size is the format's own limit
_ADVICE = "copy or download the file again"


@dataclass(frozen=True)
class TensorHeader:
    """One tensor as a safetensors header describes it."""

    dtype: str
    """As the format writes it, such as BF16."""
    shape: tuple[int, ...]
    file: str
    """Name of the file that holds it."""
    begin: int = 0
    """Place of its first byte in that file."""

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Length in the file."""
        return self.size * (_OTHER_BYTES[self.dtype] if self.dtype in _OTHER_BYTES else DTYPES[self.dtype][1])


def is_left_over(name: str) -> bool:
    """Whether a tensor is one that old releases stored although it is computed: it is read by nobody."""
    return name.endswith("rotary_emb.inv_freq")


def read_headers(files: Iterable[PinnedFile]) -> dict[str, TensorHeader]:
    """All tensors of some safetensors files by name.

    Raises:
        UserError: a file is cut off, is not safetensors, holds a dtype of quantised weights, or repeats a tensor of another.
    """
    tensors: dict[str, TensorHeader] = {}
    for file in files:
        for name, tensor in _read_one(file).items():
            if name in tensors:
                raise UserError(
                    f"{inert(file.path)} holds {shown(name)}, which {inert(tensors[name].file)} holds too; remove the stale file"
                )
            tensors[name] = tensor
    return tensors


def check_index(index: Mapping[str, str], tensors: Mapping[str, TensorHeader]) -> None:
    """Raise UserError for the first tensor of which the index of shards and their headers say different things."""
    for name in sorted({*index, *tensors}):
        said, found = index.get(name), tensors[name].file if name in tensors else None
        if said != found and not is_left_over(name):
            raise UserError(
                f"model.safetensors.index.json says that {shown(name)} is in {inert(said or 'no file')}, and it is in {inert(found or 'none')}; "
                "index and shards do not belong together: copy or download them again"
            )


def _broken(file: PinnedFile, why: str) -> UserError:
    return UserError(f"{inert(file.path)} is not a whole safetensors file ({why}); copy or download it again")


def _read_one(file: PinnedFile) -> dict[str, TensorHeader]:
    text = _header_text(file)
    where = f"{inert(file.path)}: header"
    content = parse_json(text, where, limits=_LIMITS, advice=_ADVICE)
    if not isinstance(content, dict):
        raise _broken(file, "its header is no mapping")
    checked(content.pop("__metadata__", {}), dict[str, str], f"{where}: __metadata__", advice=_ADVICE)
    entries = checked(content, dict[str, TensorEntry], where, advice=_ADVICE)
    start, place = 8 + len(text), 0
    tensors = {}
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        tensors[name] = TensorHeader(entry.dtype, entry.shape, file.path.name, start + place)
        place = _checked_end(name, entry, place, tensors[name], where)
    if file.size != start + place:
        raise _broken(file, f"{file.size} bytes, but its header describes {start + place}")
    return tensors


def _header_text(file: PinnedFile) -> bytes:
    with file.open() as stream:
        first = stream.read(8)
        if len(first) < 8:
            raise _broken(file, f"{file.size} bytes")
        length = struct.unpack("<Q", first)[0]
        if length > _LIMITS.size_bytes:
            raise _broken(file, "its first bytes are no header length")
        if 8 + length > file.size:
            raise _broken(file, f"{file.size} bytes, but the header alone needs {8 + length}")
        text = stream.read(length)
    if not text.startswith(b"{"):
        raise _broken(file, "its header is not the JSON the format asks for")
    return text


def _checked_end(name: str, entry: TensorEntry, place: int, tensor: TensorHeader, where: str) -> int:
    """Where the tensor ends, counted from the header's end. Raises UserError where it is not where and as long as it must be."""
    begin, end = entry.data_offsets
    if entry.dtype not in DTYPES and entry.dtype not in _OTHER_BYTES:
        raise _not_computed(name, entry.dtype, where)
    if (begin, end) != (place, place + tensor.bytes):
        raise UserError(
            f"{where}: data_offsets of {shown(name)} are [{begin}, {end}]; after the tensors before it, {entry.dtype} "
            f"{list(entry.shape)[:8]} must be at [{place}, {place + tensor.bytes}]; {_ADVICE}"
        )
    return end


def check_dtypes(tensors: Mapping[str, TensorHeader]) -> None:
    """Raise UserError for the first tensor, of those that a model uses, of a dtype that none is computed from."""
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES:
            raise _not_computed(name, tensor.dtype, f"{inert(tensor.file)}: header")


def _not_computed(name: str, dtype: str, where: str) -> UserError:
    return UserError(
        f"{where}: {shown(name)} is stored as {shown(dtype)}; only {', '.join(DTYPES)} are supported: convert the weights"
    )


def main_dtype(tensors: Mapping[str, TensorHeader]) -> str:
    """The dtype that most entries have, as torch calls it, such as `bfloat16`."""
    sizes: dict[str, int] = {}
    for tensor in tensors.values():
        sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.size
    computed = {dtype: size for dtype, size in sizes.items() if dtype in DTYPES} or {"F32": 0}
    return DTYPES[max(computed, key=lambda dtype: computed[dtype])][0]
