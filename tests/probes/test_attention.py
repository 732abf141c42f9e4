"""Weights in blocks against eager's own maps; needles found where they are; nothing of the model changed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ropepp_eval.errors import UserError
from ropepp_eval.probes import attention, rows_of
from ropepp_eval.probes.attention import Attention, look_at, maps_of
from ropepp_eval.probes.execute import engine_of
from ropepp_eval.probes.texts import Text, text_of
from ropepp_eval.probes.watching import watching
from ropepp_eval.probes.weights import weight_blocks
from ropepp_eval.tokens.tokenizer import load_tokenizer
from tests.modeling.conftest import POSITIONS, build


def some_text(tokens: int = 150) -> Text:
    ids = torch.randint(3, 61, (tokens,), generator=torch.Generator().manual_seed(4)).tolist()
    return Text(tuple(ids), tuple(ids[-3:]), (range(20, 31),), 15.0)


@pytest.mark.parametrize("position", POSITIONS)
def test_statistics_are_those_of_eagers_full_maps(position: str) -> None:
    text = some_text()
    eager = build(position, "eager")
    with torch.no_grad():
        maps = eager(torch.tensor(text.ids)[None], output_attentions=True).attentions
    engine = engine_of(build(position, "sdpa"))
    engine.forward.chunk_tokens = 64
    lines = look_at(engine, text)
    queries = torch.tensor(list(text.asking))
    keys = torch.arange(len(text.ids))
    for layer, head, role, needle, first, last, distance, entropy, retrieval in lines:
        weights = maps[layer][0, head, queries].double()
        back = queries[:, None] - keys
        assert role == eager.config.head_roles[head]
        assert abs(needle - float(weights[:, 20:31].sum(1).mean())) < 1e-5
        assert abs(first - float(weights[:, :4].sum(1).mean())) < 1e-5
        assert abs(last - float((weights * (back < 128)).sum(1).mean())) < 1e-5
        assert abs(distance - float((weights * back).sum(1).mean())) < 1e-5 * len(text.ids)
        assert abs(entropy - float(torch.special.entr(weights).sum(1).mean())) < 1e-5
        top = weights.argmax(1)
        copied = [text.ids[int(at)] == said and 20 <= at < 31 for at, said in zip(top, text.answer, strict=True)]
        assert retrieval == pytest.approx(sum(copied) / len(copied))


def test_block_maps_are_means_and_maxima_of_the_full_map() -> None:
    text = some_text(130)
    with torch.no_grad():
        full = build("ropepp_eh", "eager")(torch.tensor(text.ids)[None], output_attentions=True).attentions[1][0, 2].double()
    engine = engine_of(build("ropepp_eh", "sdpa"))
    engine.forward.chunk_tokens = 48
    (kept,) = maps_of(engine, text, [(1, 2)])
    size = kept["block_tokens"]
    allowed = torch.ones(130, 130).tril().bool()
    for row, column in ((0, 0), (10, 3), (43, 43), (20, 30)):
        place = (slice(size * row, size * (row + 1)), slice(size * column, size * (column + 1)))
        block, inside = full[place], allowed[place]
        assert kept["means"][row][column] == pytest.approx(
            float(block[inside].mean()) if inside.any() else 0.0, rel=1e-3, abs=1e-6
        )
        assert kept["most"][row][column] == pytest.approx(float(block.max()), rel=1e-3, abs=1e-6)


def test_blocks_hold_what_was_allowed_and_no_more() -> None:
    query, key = torch.randn(4, 100, 8), torch.randn(2, 100, 8)
    whole = torch.cat(
        [torch.nn.functional.pad(w, (0, 100 - w.shape[2])) for _, w in weight_blocks(query, key, 0, 0.3)], dim=1
    )
    parts = list(weight_blocks(query, key, 0, 0.3, entries=1000))
    assert max(weights.numel() for _, weights in parts) <= 1000
    joined = torch.cat([torch.nn.functional.pad(weights, (0, 100 - weights.shape[2])) for _, weights in parts], dim=1)
    assert (joined - whole).abs().max() < 1e-6
    assert (joined.sum(-1) - 1).abs().max() < 1e-5


def test_the_needle_is_where_the_row_says(ec: Any, rows: list[Any]) -> None:
    tokenizer = load_tokenizer(ec.config.name_or_path)
    text = text_of(rows[0], tokenizer)
    (needle,) = text.needles
    said = tokenizer.decode(list(text.ids[needle.start : needle.stop]))
    asked = rows[0].details["needles"][0]
    assert said.strip().startswith("One of the special magic numbers")
    assert said.endswith(asked["value"])
    assert tokenizer.decode(list(text.answer)).strip() == asked["value"]
    assert text.depth_percent == asked["depth_percent"]


def test_heads_that_retrieve_are_found_in_the_model_that_answers(ec: Any, rows: list[Any]) -> None:
    frame = attention(ec, rows)
    assert len(frame) == 2 * 4 * 8
    assert set(frame["role"]) == {"real", "imaginary"}
    best = frame.groupby(["layer", "head", "role"])["retrieval"].mean()
    assert best.max() > 0.5
    numbers = Attention().numbers(frame)
    assert {"all", "layer 0", "head 0:0"} <= set(numbers["part"])
    whole = numbers[(numbers["part"] == "all") & (numbers["measure"] == "needle")].set_index("role")
    assert whole.loc["real", "difference"] == pytest.approx(whole.loc["real", "mean"] - whole.loc["imaginary", "mean"])


@pytest.mark.parametrize("attention_kernel", ["sdpa", "eager"])
def test_watching_changes_no_bit_and_leaves_no_hook(attention_kernel: str) -> None:
    model = build("ropepp_ec", attention_kernel)
    engine, text = engine_of(model), some_text(60)
    ids = torch.tensor(text.ids)[None]
    with torch.no_grad():
        before = model(ids).logits
    look_at(engine, text)
    with torch.no_grad():
        assert torch.equal(model(ids).logits, before)
        with pytest.raises(RuntimeError, match="stop"), watching(model, lambda seen: None):
            raise RuntimeError("stop")
    assert not [module for module in model.modules() if module._forward_hooks or module._forward_pre_hooks]


def test_a_model_of_transformers_own_classes_is_refused_in_one_line(rows: list[Any]) -> None:
    config = LlamaConfig(vocab_size=2048, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    with pytest.raises(UserError, match="position embeddings of this package"):
        attention(LlamaForCausalLM(config), rows, tokenizer="models/tokenizer")


def test_rows_without_a_needle_are_read_where_that_is_asked(ec: Any) -> None:
    plain = rows_of("babilong_qa1", 512, ec, samples=1)
    frame = attention(ec, plain, needles=False)
    assert frame["depth_percent"].isna().all()
    assert (frame["entropy"] >= 0).all()
