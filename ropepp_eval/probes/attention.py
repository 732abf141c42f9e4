"""Where heads look: weight on the needle, on the beginning, nearby; distance and entropy; which heads retrieve; maps of some heads.

Weights are those of the queries that predict the answer's tokens, recomputed in blocks from queries and keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from ropepp_eval.errors import UserError
from ropepp_eval.probes.base import Measured, Probe, ProbeCell, Record, head_metrics, name_columns
from ropepp_eval.probes.heads import HeadFacts, roles_of
from ropepp_eval.probes.statistics import difference_with_interval, mean_with_interval
from ropepp_eval.probes.texts import Text, check_needles, text_of
from ropepp_eval.probes.watching import Seen, attention_layers, read_watched
from ropepp_eval.probes.weights import STATISTICS, BlockMap, head_statistics, weight_blocks

if TYPE_CHECKING:
    import pandas

MEASURES = (*STATISTICS, "retrieval")
MAP_BLOCKS = 64


@dataclass(frozen=True)
class Attention(Probe):
    """The `attention` probe."""

    kind: ClassVar[str] = "attention"
    metrics: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        **head_metrics("needle", "first", "last", "retrieval", scale=100.0),
        **head_metrics("distance", "entropy"),
    }

    heads: tuple[tuple[int, int], ...] = ()
    """(layer, head) whose maps are kept; empty: the real and the imaginary head that look at the needle most."""
    map_row: int = 0
    """Row of a cell whose maps are kept."""
    needles: bool = True
    """False: rows need hide no needle; what is asked of it is then missing."""

    def settings(self) -> dict[str, Any]:
        return {"heads": [list(head) for head in self.heads], "map_row": self.map_row, "needles": self.needles}

    def check(self, facts: HeadFacts) -> None:
        facts.check_heads(self.heads)

    def cells(self, cell: ProbeCell, facts: HeadFacts | None) -> list[ProbeCell]:
        if self.needles:
            check_needles(cell.task, cell.rows)
        if self.map_row not in {row.row for row in cell.rows}:
            raise UserError(
                f"map row {self.map_row} is not there: {cell.task} has {len(cell.rows)} rows, 0 to {len(cell.rows) - 1}; give another --map-row"
            )
        return [cell]

    def measure(self, subject: Any, cell: ProbeCell, rows: Sequence[Any]) -> Iterator[tuple[Any, Measured]]:
        for row in rows:
            text = text_of(row, subject.encoder.tokenizer)
            by_head = look_at(subject, text)
            details: dict[str, Any] = {
                **row.details,
                "depth_percent": text.depth_percent,
                "tokens": len(text.ids),
                "by_head": [[*line[:2], line[2], *(round(value, 9) for value in line[3:])] for line in by_head],
            }
            if row.row == self.map_row:
                wanted = self.heads or telling_heads(by_head)
                details["needle_tokens"] = [[span.start, span.stop] for span in text.needles]
                details["maps"] = maps_of(subject, text, wanted)
            yield row, Measured(_scores(by_head, bool(text.needles)), details)

    def frame(self, records: Sequence[Record]) -> pandas.DataFrame:
        """One line a row, layer and head: role, depth, and the measures."""
        import pandas

        lines = []
        for record in records:
            start = {**name_columns(record), "depth_percent": record["details"]["depth_percent"]}
            for layer, head, role, *values in record["details"]["by_head"]:
                lines.append(
                    {**start, "layer": layer, "head": head, "role": role, **dict(zip(MEASURES, values, strict=True))}
                )
        return pandas.DataFrame(lines)

    def numbers(self, frame: pandas.DataFrame) -> pandas.DataFrame:
        """Means by role with intervals, of all layers, of each layer and of each fifth of the depth, and the paired difference."""
        import pandas

        tables = [by_role(frame, MEASURES, "all")]
        tables += [by_role(part, MEASURES, f"layer {layer}") for layer, part in frame.groupby("layer")]
        fifths = (frame["depth_percent"] // 20).clip(upper=4)
        for fifth, part in frame.groupby(fifths):
            tables.append(by_role(part, ("needle", "retrieval"), f"depth {20 * int(fifth)}-{20 * int(fifth) + 20} %"))
        tables.append(retrieving_heads(frame))
        return pandas.concat(tables, ignore_index=True)


def look_at(lm: Any, text: Text, view: Any = None) -> list[tuple[Any, ...]]:
    """(layer, head, role, *MEASURES) of every head, means over the queries that predict the answer; `view`: see `read_watched`."""
    wanted, length = text.asking, len(text.ids)
    needle = torch.zeros(length, dtype=torch.bool, device=lm.forward.device)
    for span in text.needles:
        needle[span.start : span.stop] = True
    found: dict[int, list[list[torch.Tensor]]] = {}
    answer = torch.tensor(text.answer, device=lm.forward.device)
    ids = torch.tensor(text.ids, device=lm.forward.device)

    def look(seen: Seen) -> None:
        begin, end = max(wanted.start, seen.first), min(wanted.stop, seen.first + seen.query.shape[1])
        if begin >= end:
            return
        query = seen.query[:, begin - seen.first : end - seen.first]
        one = head_statistics(query, seen.key, begin, seen.module.scaling, needle, seen.bias)
        copied = torch.zeros_like(one.needle)
        if len(answer):
            said = answer[begin - wanted.start : end - wanted.start]
            copied = ((ids[one.top] == said) & needle[one.top]).double()
        found.setdefault(seen.layer, []).append([*(getattr(one, name) for name in STATISTICS), copied])

    read_watched(lm, text.ids, look, view=view)
    lines: list[tuple[Any, ...]] = []
    for module in attention_layers(lm.model):
        parts = found[module.layer_idx]
        values = [torch.cat([part[n] for part in parts], dim=1).mean(1).tolist() for n in range(len(MEASURES))]
        for head, role in enumerate(module.head_roles):
            lines.append((module.layer_idx, head, role, *(value[head] for value in values)))
    return lines


def telling_heads(by_head: Sequence[tuple[Any, ...]]) -> tuple[tuple[int, int], ...]:
    """(layer, head) of the real head with the most weight on the needle, and of the imaginary one."""
    best = [
        max((line for line in by_head if line[2] == role), key=lambda line: line[3], default=None)
        for role in roles_of(by_head)
    ]
    return tuple((line[0], line[1]) for line in best if line is not None)


def maps_of(lm: Any, text: Text, heads: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    """Block means and maxima of the weights of some heads, over all queries of a text."""
    by_layer: dict[int, list[int]] = {}
    for layer, head in heads:
        by_layer.setdefault(layer, []).append(head)
    maps = {layer: BlockMap(len(own), len(text.ids), MAP_BLOCKS) for layer, own in by_layer.items()}

    def look(seen: Seen) -> None:
        own, group = by_layer[seen.layer], seen.query.shape[0] // seen.key.shape[0]
        keys = seen.key[[head // group for head in own]]

        def bias(distance: torch.Tensor) -> torch.Tensor | None:
            added = seen.bias(distance)
            return None if added is None else added[own]

        for begin, weights in weight_blocks(seen.query[own], keys, seen.first, seen.module.scaling, bias):
            maps[seen.layer].add(weights, seen.first + begin)

    read_watched(lm, text.ids, look, tuple(by_layer))
    roles = lm.model.config.head_roles
    found = []
    for layer, own in by_layer.items():
        means, most = maps[layer].means(), maps[layer].most
        for number, head in enumerate(own):
            found.append(
                {
                    "layer": layer, "head": head, "role": roles[head], "block_tokens": maps[layer].size,
                    "means": [[float(f"{value:.4g}") for value in line] for line in means[number].tolist()],
                    "most": [[float(f"{value:.4g}") for value in line] for line in most[number].tolist()],
                }
            )  # fmt: skip
    return found


def _scores(by_head: Sequence[tuple[Any, ...]], needles: bool) -> dict[str, float | None]:
    """Means over heads by role; None for a role that no head has, and of the needle where there is none."""
    scores: dict[str, float | None] = {}
    for number, measure in enumerate(MEASURES, start=3):
        for role in ("real", "imaginary"):
            values = [line[number] for line in by_head if line[2] == role]
            known = values and (needles or measure not in ("needle", "retrieval"))
            scores[f"{measure}_{role}"] = sum(values) / len(values) if known else None
    return scores


def by_role(frame: pandas.DataFrame, measures: Sequence[str], part: str) -> pandas.DataFrame:
    """By checkpoint, task, length and measure: the mean of each role over rows with its interval, and real minus imaginary, paired."""
    import pandas

    lines = []
    for names, group in frame.groupby(["checkpoint", "task", "length_tokens"], sort=False):
        rows = group.groupby(["row", "cluster", "role"], sort=False)[list(measures)].mean().reset_index()
        for measure in measures:
            wide = rows.pivot(index=["row", "cluster"], columns="role", values=measure).reset_index()
            start = dict(zip(("checkpoint", "task", "length_tokens"), names, strict=True)) | {
                "part": part,
                "measure": measure,
            }
            paired = (
                difference_with_interval(wide["real"], wide["imaginary"], wide["cluster"])
                if {"real", "imaginary"} <= {*wide}
                else {}
            )
            for role in ("real", "imaginary"):
                if role in wide:
                    lines.append({**start, "role": role, **mean_with_interval(wide[role], wide["cluster"]), **paired})
    return pandas.DataFrame(lines)


def retrieving_heads(frame: pandas.DataFrame) -> pandas.DataFrame:
    """Of each head, longest length first: the share of answer tokens that stand where it looks most, inside the needle."""
    import pandas

    lines = []
    for names, group in frame.groupby(["checkpoint", "task", "length_tokens", "layer", "head", "role"], sort=False):
        checkpoint, task, length, layer, head, role = names
        found = mean_with_interval(group["retrieval"], group["cluster"])
        line = {"checkpoint": checkpoint, "task": task, "length_tokens": length, "part": f"head {layer}:{head}"}
        lines.append({**line, "measure": "retrieval", "role": role, **found})
    return pandas.DataFrame(lines)
