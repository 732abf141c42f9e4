"""Tensors of exactly the files that were checked: read at the places their headers gave, copied, and looked at for NaN."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BufferedReader

import torch
from torch import Tensor

from ropepp_eval.checkpoints.header import DTYPES, TensorHeader
from ropepp_eval.checkpoints.pinned import PinnedFile
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.outside import shown

_COMPARED_BYTES = 1 << 24


def read_tensors(
    files: Iterable[PinnedFile], tensors: Mapping[str, TensorHeader], dtype_of: Callable[[str], torch.dtype]
) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor on the CPU) of every tensor in `tensors`, in memory of its own: later changes of the file don't reach it.

    Args:
        files: that hold them.
        tensors: the headers, by name.
        dtype_of: the dtype in which a tensor is wanted, from its name.

    Raises:
        UserError: a file is no longer the one whose header was read, or a tensor holds NaN or infinity in that dtype.
    """
    for file in files:
        held = [(name, tensor) for name, tensor in tensors.items() if tensor.file == file.path.name]
        with file.open() as stream:
            for name, header in sorted(held, key=lambda item: item[1].begin):
                stored = _tensor(stream, file, header)
                wanted = stored.to(dtype_of(name))
                if not _finite(wanted):
                    raise _not_finite(name, file, stored, wanted)
                yield name, wanted


def _tensor(stream: BufferedReader, file: PinnedFile, header: TensorHeader) -> Tensor:
    dtype = getattr(torch, DTYPES[header.dtype][0])
    if not header.bytes:
        return torch.empty(header.shape, dtype=dtype)
    content = bytearray(header.bytes)
    stream.seek(header.begin)
    if stream.readinto(content) != len(content):
        raise UserError(f"{inert(file.path)} ended early; copy or download it again")
    return torch.frombuffer(content, dtype=dtype).reshape(header.shape)


def _finite(tensor: Tensor) -> bool:
    if not tensor.numel():
        return True
    lowest, highest = torch.aminmax(tensor)  # NaN wins over every number
    return bool(torch.isfinite(lowest) & torch.isfinite(highest))


def _not_finite(name: str, file: PinnedFile, stored: Tensor, wanted: Tensor) -> UserError:
    where = f"{shown(name)} in {inert(file.path)}"
    if _finite(stored):
        highest = stored.abs().max().item()
        return UserError(
            f"{where} holds {highest:g}, more than {str(wanted.dtype).removeprefix('torch.')} can hold; load it as bfloat16 or float32"
        )
    nan, infinite = int(stored.isnan().sum()), int(stored.isinf().sum())
    return UserError(
        f"{where} holds {nan:,} NaN and {infinite:,} infinite values; no answer of it would mean anything: take another checkpoint"
    )


def same_content(files: Iterable[PinnedFile], first: TensorHeader, second: TensorHeader) -> bool:
    """Whether two tensors have the same shape, dtype and bytes, read piece by piece. Raises UserError where a file changed."""
    if (first.dtype, first.shape) != (second.dtype, second.shape):
        return False
    by_name = {file.path.name: file for file in files}
    with by_name[first.file].open() as one, by_name[second.file].open() as other:
        one.seek(first.begin)
        other.seek(second.begin)
        left = first.bytes
        while left:
            size = min(left, _COMPARED_BYTES)
            if one.read(size) != other.read(size):
                return False
            left -= size
    return True
