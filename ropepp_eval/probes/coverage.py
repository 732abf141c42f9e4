"""Which cosines and sines a model met in training, and which it meets at a longer length: by dimension, from the angles alone.

A query's pair of dimensions is multiplied with (cos, sin) of its angle in a real head and with (sin, -cos) in an imaginary one. Heads of
RoPE++ share their weights, so what they met is what either met.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from ropepp_eval.probes.base import Measured, Probe, ProbeCell, Record, name_columns

if TYPE_CHECKING:
    import pandas

    from ropepp_eval.positions import Position

Range = tuple[float, float]
NEW = 0.01
"""Width of values, on the scale from -1 to 1, from which on they count as new."""
SLOTS = ("cos", "sin")


@dataclass(frozen=True)
class Coverage(Probe):
    """The `coverage` probe; it needs no weights."""

    kind: ClassVar[str] = "coverage"
    quick: ClassVar[bool] = True
    metrics: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        name: {"aggregation": "mean", "higher_is_better": False, "scale": 100.0} for name in ("new_dimensions", "new_values")
    }

    def settings(self) -> dict[str, Any]:
        return {"new": NEW}

    def measure(self, subject: Any, cell: ProbeCell, rows: Sequence[Any]) -> Iterator[tuple[Any, Measured]]:
        """`subject`: (position embedding, head size, trained length)."""
        position, head_dim, trained = subject
        for row in rows:
            yield row, measured(position, head_dim, trained, cell.length_tokens)

    def frame(self, records: Sequence[Record]) -> pandas.DataFrame:
        """One line a length, dimension, role and function: the values met in training and at the length, and the width of what is new."""
        import pandas

        lines = []
        for record in records:
            start = name_columns(record) | {
                "trained_length": record["details"]["trained_length"],
                "note": record["details"]["note"],
            }
            for line in record["details"]["ranges"] or [{}]:
                lines.append({**start, **line})
        return pandas.DataFrame(lines)

    def numbers(self, frame: pandas.DataFrame) -> pandas.DataFrame:
        """By checkpoint, length and role: the share of dimensions that meet something new, and the mean width of what is new."""
        import pandas

        lines = []
        for names, group in frame.groupby(["checkpoint", "position", "trained_length", "length_tokens"], sort=False):
            start = dict(zip(("checkpoint", "position", "trained_length", "length_tokens"), names, strict=True))
            if "role" not in group or group["role"].isna().all():
                lines.append({**start, "role": None, "note": group["note"].iloc[0]})
                continue
            for role, part in group.groupby("role", sort=False):
                by_dimension = part.groupby("dimension")["new"].agg(["max", "mean"])
                lines.append({**start, "role": role, "note": "", "new_dimensions": float((by_dimension["max"] > NEW).mean()),
                              "new_values": float(by_dimension["mean"].mean() / 2)})  # fmt: skip
        return pandas.DataFrame(lines)


def measured(position: Position, head_dim: int, trained: int, length: int) -> Measured:
    """What a length shows to a model trained at another one; a sentence where nothing turns."""
    roles = tuple(dict.fromkeys(type(position).head_roles(type(position).heads(2, 2))))
    met, meets = trained_frequencies(position, head_dim), position.frequencies(head_dim).double().tolist()
    if not meets:
        note = f"{position.name}: nothing turns, so no value of a cosine or sine is ever new" + (
            "; its bias is: at each longer distance" if position.biased else ""
        )
        return Measured(
            {"new_dimensions": None, "new_values": None}, {"trained_length": trained, "note": note, "ranges": []}
        )
    ranges = [
        line
        for dimension, (before, now) in enumerate(zip(met, meets, strict=True))
        for line in ranges_of(dimension, before * (trained - 1), now * (length - 1), roles)
    ]
    new: dict[int, list[float]] = {}
    for line in ranges:
        new.setdefault(line["dimension"], []).append(line["new"])
    scores = {
        "new_dimensions": sum(max(widths) > NEW for widths in new.values()) / len(new),
        "new_values": sum(sum(widths) / len(widths) for widths in new.values()) / len(new) / 2,
    }
    return Measured(scores, {"trained_length": trained, "note": "", "ranges": ranges})


def trained_frequencies(position: Position, head_dim: int) -> list[float]:
    """Frequencies that the model was trained with: a scaling (Linear PI, YaRN) is taken as put on afterwards, which is its use."""
    plain = dataclasses.replace(position, scaling=None) if getattr(position, "scaling", None) is not None else position  # type: ignore[call-arg]
    frequencies: list[float] = plain.frequencies(head_dim).to(torch.float64).tolist()
    return frequencies


def ranges_of(dimension: int, met_angle: float, angle: float, roles: Sequence[str]) -> list[dict[str, Any]]:
    """For each role and slot of a dimension: values met in training, values at the length, and the width of those that are new."""
    met = {slot: [values_of(role, slot, met_angle) for role in roles] for slot in SLOTS}
    lines = []
    for role in roles:
        for slot in SLOTS:
            low, high = values_of(role, slot, angle)
            seen = values_of(role, slot, met_angle)
            lines.append(
                {"dimension": dimension, "role": role, "slot": slot, "low_trained": seen[0], "high_trained": seen[1], "low": low, "high": high,
                 "new": width_outside((low, high), met[slot])}
            )  # fmt: skip
    return lines


def values_of(role: str, slot: str, angle: float) -> Range:
    """Values of a slot while the angle goes from 0 to `angle`: cos and sin in a real head, sin and -cos in an imaginary one."""
    low_cos, high_cos = (-1.0 if angle >= math.pi else math.cos(angle)), 1.0
    high_sin = 1.0 if angle >= math.pi / 2 else math.sin(angle)
    low_sin = 0.0 if angle <= math.pi else (-1.0 if angle >= 1.5 * math.pi else math.sin(angle))
    if role == "real":
        return (low_cos, high_cos) if slot == "cos" else (low_sin, high_sin)
    return (low_sin, high_sin) if slot == "cos" else (-high_cos, -low_cos)


def width_outside(values: Range, met: Sequence[Range]) -> float:
    """How much of a range lies outside all of some others."""
    left, begin = 0.0, values[0]
    for low, high in sorted(met):
        left += max(0.0, min(low, values[1]) - begin)
        begin = max(begin, high)
    return left + max(0.0, values[1] - begin)
