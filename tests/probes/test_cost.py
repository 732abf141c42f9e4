"""Cache bytes against arithmetic; the half of EH; a cell that does not fit."""

from __future__ import annotations

import pytest
import torch

from ropepp_eval.errors import UserError
from ropepp_eval.probes import cost
from ropepp_eval.probes.cost import Cost
from ropepp_eval.probes.cost_native import measured, weight_bytes
from ropepp_eval.probes.execute import engine_of
from ropepp_eval.probes.sources import card_shape, shape_config
from tests.modeling.conftest import build


@pytest.mark.parametrize("position", ["rope", "ropepp_eh", "ropepp_ec", "alibi"])
def test_cache_bytes_are_layers_heads_dimensions_and_tokens(position: str) -> None:
    model = build(position, "sdpa")
    config = model.config
    frame = cost(model, [64, 100], batches=(1, 3), steps=1)
    for length, batch, cache, arithmetic in frame[
        ["length_tokens", "batch", "cache_mib", "arithmetic_cache_mib"]
    ].to_numpy():
        wanted = 2 * config.num_hidden_layers * config.heads.key_value * config.head_dim * 4 * length * batch / 2**20
        assert cache == arithmetic == wanted
    assert (frame["milliseconds"] > 0).all()
    assert (frame["floor_milliseconds"] > 0).all()


def test_eh_keeps_half_the_cache_of_the_others_at_every_length() -> None:
    caches = {
        name: cost(build(name, "sdpa"), [32], batches=(2,), steps=1)["cache_mib"].item()
        for name in ("rope", "ropepp_eh", "ropepp_ec")
    }
    assert caches["ropepp_eh"] * 2 == caches["rope"] == caches["ropepp_ec"]


def test_weights_that_a_token_reads_leave_the_table_of_embeddings_out_unless_it_is_the_head_too() -> None:
    apart, tied = build("rope"), build("rope", tie_word_embeddings=True)
    every = sum(parameter.nbytes for parameter in apart.parameters())
    assert weight_bytes(apart) == every - apart.model.embed_tokens.weight.nbytes == weight_bytes(tied)


def test_a_cell_that_does_not_fit_says_so_and_is_no_crash() -> None:
    found = measured(engine_of(build("rope", "sdpa")), 1 << 30, 512, 1)
    assert found.scores is None
    assert found.error is not None
    assert "does not fit" in found.error.message


def test_shapes_are_those_of_the_cards() -> None:
    shape = card_shape("376M")
    assert (shape["hidden_size"], shape["num_hidden_layers"], shape["num_attention_heads"]) == (1024, 8, 8)
    assert shape_config(shape, "ropepp_eh").heads.key_value == 2
    with pytest.raises(UserError, match=r"unknown shape .375M.; did you mean"):
        card_shape("375M")


@pytest.mark.parametrize("settings", [{"batches": (0,)}, {"batches": ()}, {"steps": 0}])
def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(UserError, match="such as"):
        Cost(**settings)  # type: ignore[arg-type]


def test_filling_a_cache_and_timing_leave_the_random_stream_of_others_usable() -> None:
    model = build("ropepp_ec", "sdpa")
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        before = model(ids).logits
        cost(model, [16], batches=(1,), steps=1)
        assert torch.equal(model(ids).logits, before)
