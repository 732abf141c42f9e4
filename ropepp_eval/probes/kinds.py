"""The kinds of probes by name, without importing any."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ropepp_eval.errors import unknown_name

if TYPE_CHECKING:
    from ropepp_eval.probes.base import Probe

KINDS = {
    "curves": "the score of real and imaginary heads against distance, beside its closed form",
    "coverage": "which cosines and sines were met in training, and which a longer text shows",
    "cost": "memory and time of a new token against context and batch",
    "attention": "where heads look, by role, layer, depth and length; maps; heads that retrieve",
    "noise": "scores with noise on real or imaginary heads",
    "ablation": "scores with heads switched off or averaged",
    "extrapolation": "loss by position past the trained length, and where it rises",
}
_CLASSES = {
    "curves": "curves.Curves", "coverage": "coverage.Coverage", "cost": "cost.Cost", "attention": "attention.Attention", "noise": "noise.NoiseProbe",
    "ablation": "noise.AblationProbe", "extrapolation": "extrapolation.Extrapolation",
}  # fmt: skip


def probe_class(kind: str) -> type[Probe]:
    """The class of a kind. Raises UserError with near matches for an unknown one."""
    if kind not in KINDS:
        raise unknown_name("probe", kind, KINDS, "`ropepp-eval probe --help` explains them")
    module, name = _CLASSES[kind].split(".")
    found: type[Probe] = getattr(importlib.import_module(f"ropepp_eval.probes.{module}"), name)
    return found
