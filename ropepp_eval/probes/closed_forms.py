"""The expected score of a head by distance, where content is isotropic: cosine sums for real heads, sine sums for imaginary ones.

A query and a key whose contents agree by c in every pair of dimensions score c (1/N) sum cos(theta_n d) at distance d in a real head and
c (1/N) sum sin(theta_n d) in an imaginary one (arXiv 2512.07525, section 3, in the sign of its matrix form). With more and more pairs the
sums become integrals over the exponent of the base: (Ci(d) - Ci(d / base)) / ln(base), and with Si likewise. N = D / 2 pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ropepp_eval.positions import Position, Rotary
from ropepp_eval.positions.partial import PartialRotary
from ropepp_eval.positions.ropepp import RopePP
from ropepp_eval.positions.scaling import LinearScaling, YarnScaling

Floats = NDArray[np.float64]
_RAMP_POINTS = (1 << 15) + 1


@dataclass(frozen=True)
class ClosedForm:
    """Score by distance over the content's agreement; 1 at distance 0 of a plain real head."""

    frequencies: Floats
    """[n] radians a position, as the model has them."""
    still: int
    """Pairs that do not turn."""
    scale: float
    """What turning pairs are multiplied with: the square of the tables' scale."""
    limits: Any
    """distance [T] -> (real, imaginary) in the limit of many pairs, of turning pairs alone; None where there is none."""

    @property
    def pairs(self) -> int:
        return len(self.frequencies) + self.still

    def real(self, distance: Floats) -> Floats:
        """(1/N) sum cos(theta_n d) for distances [T]."""
        turning = np.cos(np.multiply.outer(distance, self.frequencies)).sum(-1)
        found: Floats = (self.scale * turning + self.still) / self.pairs
        return found

    def imaginary(self, distance: Floats) -> Floats:
        """(1/N) sum sin(theta_n d) for distances [T]."""
        found: Floats = self.scale * np.sin(np.multiply.outer(distance, self.frequencies)).sum(-1) / self.pairs
        return found

    def limit(self, role: str, distance: Floats) -> Floats | None:
        """The same for infinitely many pairs between the same ends; None where no base says how they lie."""
        if self.limits is None:
            return None
        part = self.limits(distance)[role == "imaginary"]
        found: Floats = (self.scale * part * len(self.frequencies) + self.still * (role == "real")) / self.pairs
        return found

    def of(self, role: str, distance: Floats) -> Floats:
        return self.real(distance) if role == "real" else self.imaginary(distance)


def closed_form(position: Position, head_dim: int) -> ClosedForm | str:
    """The closed form of a position embedding, or a sentence that says why it has none."""
    if not isinstance(position, Rotary):
        return f"{position.name}: nothing turns, so the score does not depend on the distance" + (
            " but for a bias that is added to it" if position.biased else ""
        )
    known = (Rotary.encode, RopePP.encode, PartialRotary.encode)
    if type(position).encode not in known or type(position).frequencies not in (
        Rotary.frequencies,
        PartialRotary.frequencies,
    ):
        return f"{position.name}: queries and keys are not simply turned, so the score has no closed form in the distance"
    frequencies = position.frequencies(head_dim).to(torch.float64).numpy()
    table_scale = 1.0 if position.scaling is None else position.scaling.table_scale
    return ClosedForm(
        frequencies, head_dim // 2 - len(frequencies), table_scale**2, lambda distance: limits(position, distance)
    )


def limits(position: Rotary, distance: Floats) -> tuple[Floats, Floats]:
    """Mean of cos and of sin of theta d over theta = base^-u, u from 0 to 1 (stretched as the embedding says), for distances [T]."""
    base, scaling = position.base, position.scaling
    if isinstance(scaling, YarnScaling) and scaling.factor != 1:
        return _yarn_limits(base, scaling, distance)
    factor = scaling.factor if isinstance(scaling, LinearScaling) else 1.0
    return _power_mean(distance / factor, 1 / base, 1.0, base)


def _power_mean(distance: Floats, slow: float, fast: float, base: float) -> tuple[Floats, Floats]:
    """The part of the mean that frequencies from `slow` to `fast` make: (Ci(d fast) - Ci(d slow)) / ln(base), and with Si."""
    from scipy.special import sici

    (sine_fast, cosine_fast), (sine_slow, cosine_slow) = (
        sici(np.where(distance > 0, distance, 1.0) * end) for end in (fast, slow)
    )
    share = math.log(fast / slow) / math.log(base)
    real = np.where(distance > 0, (cosine_fast - cosine_slow) / math.log(base), share)
    imaginary = np.where(distance > 0, (sine_fast - sine_slow) / math.log(base), 0.0)
    return real, imaginary


def _yarn_limits(base: float, scaling: YarnScaling, distance: Floats) -> tuple[Floats, Floats]:
    """Three parts: slow frequencies divided, fast ones kept, and the ramp between, which is quadratic in theta, by Simpson's rule."""
    from scipy.integrate import simpson

    one_turn = 2 * math.pi / scaling.original_length
    slow, fast = (min(1.0, max(1 / base, turns * one_turn)) for turns in (1, 32))
    parts = []
    if slow > 1 / base:
        parts.append(_power_mean(distance / scaling.factor, 1 / base, slow, base))
    if fast < 1:
        parts.append(_power_mean(distance, fast, 1.0, base))
    if fast > slow:
        exponents = np.linspace(math.log(slow), math.log(fast), _RAMP_POINTS)
        stretched = scaling.stretch(torch.from_numpy(np.exp(exponents))).numpy()
        for_each = [np.exp(1j * stretched * d) for d in distance]
        integral = np.array([simpson(values, x=exponents) for values in for_each]) / math.log(base)
        parts.append((integral.real, integral.imag))
    return sum((part[0] for part in parts), np.zeros_like(distance)), sum(
        (part[1] for part in parts), np.zeros_like(distance)
    )
