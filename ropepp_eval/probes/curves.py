"""How a head's score falls with distance: measured from queries and keys, beside the closed form for isotropic content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ropepp_eval.probes.base import Measured, Probe, ProbeCell, Record, head_metrics, name_columns
from ropepp_eval.probes.closed_forms import ClosedForm, Floats, closed_form
from ropepp_eval.probes.watching import Seen, attention_layers, read_watched

if TYPE_CHECKING:
    import pandas


BINS_AN_OCTAVE = 8


@dataclass(frozen=True)
class Curves(Probe):
    """The `curves` probe."""

    kind: ClassVar[str] = "curves"
    metrics: ClassVar[Mapping[str, Mapping[str, Any]]] = head_metrics("far", "near")

    def measure(self, subject: Any, cell: ProbeCell, rows: Sequence[Any]) -> Iterator[tuple[Any, Measured]]:
        config = subject.model.config
        form = closed_form(config.position_embedding, config.head_dim)
        for row in rows:
            ids = subject.encoder.tokenizer.prompt_ids(row.prompt)[: cell.length_tokens]
            bins = distance_bins(len(ids))
            curves = head_curves(subject, ids, bins)
            details = {
                "distances": [[int(first), int(last)] for first, last in bins],
                "curves": [[*line[:3], float(line[3]), [float(f"{value:.7g}") for value in line[4]]] for line in curves],
                "forms": binned_forms(form, bins),
                "note": form if isinstance(form, str) else "",
            }
            yield row, Measured(_scores(curves, bins, len(ids)), details)

    def frame(self, records: Sequence[Record]) -> pandas.DataFrame:
        """One line a row, head and bin of distances: `score` in logits, `agreement` of the contents, `closed_form` and `limit` for an agreement of 1."""
        import pandas

        lines = []
        for record in records:
            details = record["details"]
            middles = [(first + last) / 2 for first, last in details["distances"]]
            for layer, head, role, agreement, scores in details["curves"]:
                forms = details["forms"].get(role)
                for place, (distance, score) in enumerate(zip(middles, scores, strict=True)):
                    lines.append(
                        {
                            **name_columns(record), "layer": layer, "head": head, "role": role, "distance": distance, "score": score,
                            "agreement": agreement, "closed_form": forms and forms["sum"][place], "limit": forms and forms["limit"] and forms["limit"][place],
                        }
                    )  # fmt: skip
        return pandas.DataFrame(lines)

    def numbers(self, frame: pandas.DataFrame) -> pandas.DataFrame:
        """By checkpoint, length, role and distance: the mean over heads, each averaged over rows, with a 95 % band over heads (Student's t),
        and the closed form for the heads' mean agreement."""
        import pandas
        from scipy.stats import t

        names = ["checkpoint", "position", "task", "length_tokens", "role", "distance"]
        heads = (
            frame.groupby([*names, "layer", "head"], sort=False)[["score", "agreement", "closed_form", "limit"]]
            .mean()
            .reset_index()
        )
        lines = []
        for name, group in heads.groupby(names, sort=False):
            count, score = len(group), group["score"]
            reach = float(t.ppf(0.975, count - 1) * score.std() / np.sqrt(count)) if count > 1 else np.nan
            lines.append(
                dict(zip(names, name, strict=True))
                | {"mean": score.mean(), "low": score.mean() - reach, "high": score.mean() + reach, "heads": count}
                | {
                    "agreement": group["agreement"].mean(),
                    "closed_form": group["closed_form"].mean(),
                    "limit": group["limit"].mean(),
                }
            )
        return pandas.DataFrame(lines)


def distance_bins(tokens: int) -> list[tuple[int, int]]:
    """(first, last) distances of each bin: one distance a bin at first, then eight bins an octave, up to half the pairs' longest."""
    edges = [*range(BINS_AN_OCTAVE * 2)]
    while edges[-1] < tokens - 1:
        edges.append(max(edges[-1] + 1, round(edges[-1] * 2 ** (1 / BINS_AN_OCTAVE))))
    ends = [edge for edge in edges if edge < tokens]
    return [(first, last - 1) for first, last in zip(ends, [*ends[1:], tokens], strict=True)]


def head_curves(lm: Any, ids: Sequence[int], bins: Sequence[tuple[int, int]]) -> list[tuple[int, int, str, float, Floats]]:
    """(layer, head, role, agreement, scores [bins]) of every head: the mean score in logits over all pairs of a bin's distances.

    The agreement is the score that the mean query and the mean key would have without any position: what the closed form is multiplied with.
    """
    length = len(ids)
    sums: dict[int, Tensor] = {}
    means: dict[int, list[Tensor]] = {}
    biases: dict[int, Tensor] = {}

    def look(seen: Seen) -> None:
        found = sums_by_distance(seen.query, seen.key, seen.first)
        total = sums.setdefault(seen.layer, torch.zeros(found.shape[0], length, dtype=torch.float64))
        total[:, : found.shape[1]] += found.cpu() * seen.module.scaling
        content = [
            projection(seen.hidden).double().sum(0).view(-1, seen.module.head_dim).cpu()
            for projection in (seen.module.q_proj, seen.module.k_proj)
        ]
        before = means.get(seen.layer)
        means[seen.layer] = content if before is None else [a + b for a, b in zip(before, content, strict=True)]
        added = seen.bias(torch.arange(length, device=seen.key.device))
        if added is not None:
            biases[seen.layer] = added.double().cpu()

    read_watched(lm, ids, look)
    pairs = torch.arange(length, 0, -1, dtype=torch.float64)
    lines = []
    for module in attention_layers(lm.model):
        layer = module.layer_idx
        total = sums[layer] + (biases[layer] * pairs if layer in biases else 0.0)
        binned = torch.stack(
            [total[:, first : last + 1].sum(1) / pairs[first : last + 1].sum() for first, last in bins], dim=1
        )
        query, key = (content / length for content in means[layer])
        agreement = (query * key.repeat_interleave(len(query) // len(key), 0)).sum(1) * module.scaling
        each = agreement.repeat_interleave(binned.shape[0] // len(query))
        for head, role in enumerate(module.head_roles):
            lines.append((layer, head, role, float(each[head]), binned[head].numpy()))
    return lines


def sums_by_distance(query: Tensor, key: Tensor, first: int) -> Tensor:
    """float64 [H, L]: at each distance the sum of q_t k_s over all pairs so far apart, for queries [H, Q, D] at `first` and keys [K, L, D].

    It is a correlation over time, which Fourier transforms compute without any [Q, L].
    """
    heads, queries, _ = query.shape
    length = first + queries
    size = 1 << (2 * length - 1).bit_length()
    group = heads // key.shape[0]
    found = torch.empty(heads, length, dtype=torch.float64, device=query.device)
    for head in range(heads):
        placed = torch.nn.functional.pad(query[head].double(), (0, 0, first, 0))
        product = torch.fft.rfft(placed, n=size, dim=0) * torch.fft.rfft(key[head // group].double(), n=size, dim=0).conj()
        found[head] = torch.fft.irfft(product.sum(-1), n=size)[:length]
    return found


def binned_forms(form: ClosedForm | str, bins: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Closed form and limit by role, averaged over each bin's distances as the measured scores are."""
    if isinstance(form, str):
        return {}
    distance = np.arange(bins[-1][1] + 1, dtype=np.float64)
    weights = len(distance) - distance
    starts = [first for first, _ in bins]

    def binned(values: Floats | None) -> list[float] | None:
        if values is None:
            return None
        averages = np.add.reduceat(values * weights, starts) / np.add.reduceat(weights, starts)
        return [float(f"{value:.7g}") for value in averages]

    return {
        role: {"sum": binned(form.of(role, distance)), "limit": binned(form.limit(role, distance))}
        for role in ("real", "imaginary")
    }


def _scores(
    curves: Sequence[tuple[int, int, str, float, Floats]], bins: Sequence[tuple[int, int]], tokens: int
) -> dict[str, float | None]:
    """Mean score of the heads of each role at distances under an eighth of the text, and over half of it."""
    parts = {
        "near": [n for n, (_, last) in enumerate(bins) if last < tokens / 8],
        "far": [n for n, (first, _) in enumerate(bins) if first >= tokens / 2],
    }
    scores: dict[str, float | None] = {}
    for part, places in parts.items():
        for role in ("real", "imaginary"):
            values = [line[4][places].mean() for line in curves if line[2] == role and places]
            scores[f"{part}_{role}"] = float(np.mean(values)) if values else None
    return scores
