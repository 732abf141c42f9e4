"""Measured scores by distance: against the plain loop over pairs, and of isotropic content against the closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ropepp_eval.probes.base import ProbeCell
from ropepp_eval.probes.closed_forms import closed_form
from ropepp_eval.probes.curves import Curves, binned_forms, distance_bins, head_curves, sums_by_distance
from ropepp_eval.probes.execute import engine_of
from tests.modeling.conftest import build


def test_sums_by_distance_are_those_of_all_pairs() -> None:
    stream = torch.Generator().manual_seed(1)
    query, key = torch.randn(4, 5, 8, generator=stream), torch.randn(2, 12, 8, generator=stream)
    wanted = torch.zeros(4, 12, dtype=torch.float64)
    for head in range(4):
        for q in range(5):
            for k in range(7 + q + 1):
                wanted[head, 7 + q - k] += query[head, q].double() @ key[head // 2, k].double()
    assert (sums_by_distance(query, key, first=7) - wanted).abs().max() < 1e-12


@pytest.mark.parametrize("position", ["ropepp_ec", "alibi", "fope", "nope", "partial"])
def test_curves_are_the_mean_scores_of_every_pair_whatever_the_chunks(position: str) -> None:
    model = build(position, "sdpa")
    ids = torch.randint(3, 61, (40,), generator=torch.Generator().manual_seed(2))
    seen: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    handles = [
        layer.self_attn.register_forward_hook(
            lambda module, args, given, out: seen.__setitem__(
                module.layer_idx, module.encoded(given["hidden_states"], given["position_embeddings"], None)
            ),
            with_kwargs=True,
        )
        for layer in model.model.layers
    ]
    with torch.no_grad():
        model(ids[None])
    for handle in handles:
        handle.remove()
    engine = engine_of(model)
    engine.forward.chunk_tokens = 16
    bins = [(distance, distance) for distance in range(40)]
    lines = head_curves(engine, ids.tolist(), bins)
    for layer, head, role, _, scores in lines:
        module = model.model.layers[layer].self_attn
        query, key = (x[0].double() for x in seen[layer])
        pairs = query[head] @ key[head // (len(query) // len(key))].T * module.scaling
        if module.position.biased:
            places = torch.arange(40)
            pairs += module.position.bias_of((places[:, None] - places).clamp(min=0), module.stored_tensors(), module.heads)[
                head
            ]
        wanted = [float(pairs.diagonal(-distance).mean()) for distance in range(40)]
        assert np.abs(scores - wanted).max() < 1e-4
        assert role == model.config.head_roles[head]


def test_isotropic_content_follows_the_closed_form_within_the_bands() -> None:
    """Random projections, equal for queries and keys, of tokens that have a vector in common: contents agree, in no dimension more than in
    another but by chance, which is what the bands over heads are for."""
    model = build(
        "ropepp_ec", "sdpa", num_hidden_layers=1, num_attention_heads=32, num_key_value_heads=32, head_dim=32, hidden_size=64
    )
    stream = torch.Generator().manual_seed(5)
    attention = model.model.layers[0].self_attn
    with torch.no_grad():
        attention.q_proj.weight.copy_(torch.randn(attention.q_proj.weight.shape, generator=stream) / 8)
        attention.k_proj.weight.copy_(attention.q_proj.weight)
        common = torch.randn(64, generator=stream)
        model.model.embed_tokens.weight.copy_(common + 0.3 * torch.randn(61, 64, generator=stream))
    ids = torch.randint(3, 61, (256,), generator=stream).tolist()
    probe, bins = Curves(), distance_bins(256)
    curves = head_curves(engine_of(model), ids, bins)
    forms = binned_forms(closed_form(model.config.position_embedding, 32), bins)
    cell = ProbeCell("isotropic", "", "ropepp_ec", "text", 256, ())
    details = {"distances": bins, "curves": [[*line[:4], line[4].tolist()] for line in curves], "forms": forms, "note": ""}
    names = {
        "checkpoint": cell.label,
        "position": cell.position,
        "task": cell.task,
        "length_tokens": 256,
        "row": 0,
        "row_sha256": "",
    }
    numbers = probe.numbers(probe.frame([{**names, "details": details}]))
    far = numbers[numbers["distance"] >= 1]  # at distance 0 a token meets itself, with its own part too
    expected = far["agreement"] * far["closed_form"]
    inside = (far["low"] <= expected) & (expected <= far["high"])
    for role in ("real", "imaginary"):
        assert inside[far["role"] == role].mean() >= 0.9
    assert (numbers["heads"] == 32).all()
