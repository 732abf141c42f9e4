"""Names of the dtypes that weights may have, and what else they are called. Known without torch, so that a wrong one is told at once."""

from __future__ import annotations

from ropepp_eval.errors import unknown_name

ALIASES = {
    "float64": ("double", "fp64"),
    "float32": ("float", "fp32"),
    "bfloat16": ("bf16",),
    "float16": ("half", "fp16"),
}
_NAMES = {name: dtype for dtype, others in ALIASES.items() for name in (dtype, *others)}


def dtype_name(written: str) -> str:
    """torch's name of a dtype: `float32` for `fp32`, `torch.float32` or `float`; `auto` (as stored) stays.

    Raises:
        UserError: it is none of them.
    """
    name = written.removeprefix("torch.")
    if name != "auto" and name not in _NAMES:
        raise unknown_name("dtype", written, ["auto", *_NAMES], "auto keeps the stored one")
    return _NAMES.get(name, name)
