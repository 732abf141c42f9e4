"""What a position embedding costs: prefill and decode time and cache bytes against RoPE, next to the ratio of operations.

All embeddings run in one process on the same shape, one after the other in every round, so that a slow minute of the machine
meets all of them; each round begins with another one, since the first finds another heap than the last. A ratio is the median
over the rounds of the ratios within a round, a new token's time the median of the steps.
"""

from __future__ import annotations

import statistics
import sys
from typing import Any

import torch
from _common import SHAPES, VOCABULARY, Check, Stopwatch, finish, parser

from ropepp_eval.modeling import RopePPConfig, RopePPForCausalLM
from ropepp_eval.positions import get_position

POSITIONS = ("rope", "ropepp_eh", "ropepp_ec", "fope", "alibi", "partial")
BAR = 1.10
"""How much more time than operations an embedding may take."""


def build(shape: dict[str, int], vocabulary: int) -> dict[str, Any]:
    """One model in bfloat16 for each embedding; embeddings and output layer are shared, as their cost is the same."""
    models: dict[str, Any] = {}
    torch.set_default_dtype(torch.bfloat16)
    for name in POSITIONS:
        torch.manual_seed(0)
        config = RopePPConfig(
            position=name, **get_position(name)().to_hf(), **shape, vocab_size=vocabulary if not models else 8,
            max_position_embeddings=4096,
        )  # fmt: skip
        model = RopePPForCausalLM(config).eval()
        if models:
            model.model.embed_tokens, model.lm_head = models["rope"].model.embed_tokens, models["rope"].lm_head
        models[name] = model
    torch.set_default_dtype(torch.float32)
    return models


def operations(config: RopePPConfig, new: int, past: int, vocabulary: int) -> float:
    """Floating point operations of a pass over `new` tokens after `past` cached ones, with logits for the last one.

    Two for each weight and token; four for each head dimension and each (query, key) pair that causality allows.
    """
    heads, hidden = config.heads, config.hidden_size
    projections = hidden * config.head_dim * (heads.query + 2 * heads.key_value + heads.attention)
    weights = config.num_hidden_layers * (projections + 3 * hidden * config.intermediate_size)
    pairs = new * past + new * (new + 1) / 2
    attention = 4.0 * config.num_hidden_layers * heads.attention * config.head_dim * pairs
    return 2.0 * new * weights + 2.0 * vocabulary * hidden + attention


@torch.no_grad()
def prefill_seconds(model: Any, length: int) -> tuple[float, int]:
    """Seconds of one pass over a prompt, and the bytes of its cache."""
    tokens = torch.randint(0, 8, (1, length), generator=torch.Generator().manual_seed(length))
    with Stopwatch() as watch:
        out = model(tokens, logits_to_keep=1, use_cache=True)
    return watch.seconds, sum(x.nbytes for layer in out.past_key_values.layers for x in (layer.keys, layer.values))


@torch.no_grad()
def decode_seconds(model: Any, length: int, steps: int) -> float:
    """Seconds of one new token after `length` cached ones."""
    from transformers import DynamicCache

    config, cache = model.config, DynamicCache(config=model.config)
    for layer in range(config.num_hidden_layers):
        shape = (2, 1, config.heads.key_value, length, config.head_dim)
        cache.update(*torch.randn(shape, generator=torch.Generator().manual_seed(layer), dtype=torch.bfloat16), layer)
    token = torch.zeros((1, 1), dtype=torch.long)
    model(token, past_key_values=cache)
    seconds = []
    for _ in range(steps):
        with Stopwatch() as watch:
            model(token, past_key_values=cache)
        seconds.append(watch.seconds)
    return statistics.median(seconds)


def attention_alone(lengths: list[int], rounds: int) -> int:
    """EC's causal attention of a whole prompt in one layer of the 376M shape, float32, against RoPE's: twice the heads on the same keys and
    values should take twice as long."""
    checks = []
    for length in lengths:
        key, value = torch.randn(2, 1, 4, length, 128)
        times: dict[str, list[float]] = {"rope": [], "ropepp_ec": []}
        for _ in range(rounds):
            for name, heads in (("rope", 8), ("ropepp_ec", 16)):
                query = torch.randn(1, heads, length, 128)
                with Stopwatch() as watch, torch.inference_mode():
                    torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
                times[name].append(watch.seconds)
        rope, ec = (statistics.median(each) for each in times.values())
        print(f"{length:,} tokens, a layer: RoPE {rope:.2f} s, EC {ec:.2f} s", flush=True)
        checks.append(Check(f"EC's attention at {length} over twice RoPE's", ec / rope / 2, 1.05))
    return finish("attention_alone", checks, quick=False)


def main() -> int:
    options = parser(__doc__ or "")
    options.add_argument("--alone", action="store_true", help="only the attention of RoPE and EC in one layer")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--lengths", default="2048,8192,16384", help="with commas, in tokens")
    arguments = options.parse_args()
    if arguments.alone:
        return attention_alone([int(length) for length in arguments.lengths.split(",")], arguments.rounds)
    lengths = [64, 128] if arguments.quick else [int(length) for length in arguments.lengths.split(",")]
    shape, vocabulary = (SHAPES["tiny"], 4096) if arguments.quick else (SHAPES["376M"], VOCABULARY)
    models, checks, results = build(shape, vocabulary), [], []
    for length in lengths:
        prefill: dict[str, list[float]] = {name: [] for name in models}
        decode: dict[str, list[float]] = {name: [] for name in models}
        kept: dict[str, int] = {}
        for model in models.values():  # the first call of each shape also chooses kernels
            prefill_seconds(model, min(length, 256))
        for first in range(arguments.rounds):
            for name in (*POSITIONS[first % len(POSITIONS) :], *POSITIONS[: first % len(POSITIONS)]):
                seconds, kept[name] = prefill_seconds(models[name], length)
                prefill[name].append(seconds)
                decode[name].append(decode_seconds(models[name], length, steps=16))
        print(f"{length:,} tokens: RoPE {statistics.median(prefill['rope']):.3f} s prefill, "
              f"{1000 * statistics.median(decode['rope']):.2f} ms a new token, {kept['rope']:,} bytes of cache")  # fmt: skip
        for name in POSITIONS[1:]:
            row: dict[str, Any] = {"position": name, "length": length, "cache_bytes_ratio": kept[name] / kept["rope"]}
            for what, times, new, past in (("prefill", prefill, length, 0), ("decode", decode, 1, length)):
                time = statistics.median(own / rope for own, rope in zip(times[name], times["rope"], strict=True))
                ratio = operations(models[name].config, new, past, vocabulary) / operations(
                    models["rope"].config, new, past, vocabulary
                )
                row |= {f"{what}_time_ratio": round(time, 4), f"{what}_operations_ratio": round(ratio, 4)}
                said = f"{name} {what} at {length}: time ratio {time:.3f} over operations ratio {ratio:.3f}"
                checks.append(Check(said, time / ratio, BAR))
            results.append(row)
            print(f"  {row}", flush=True)
        wanted = {"ropepp_eh": 0.5}
        for name in POSITIONS[1:]:
            share = kept[name] / kept["rope"]
            checks.append(Check(f"{name} cache bytes at {length}", share, wanted.get(name, 1.0), exact=True))
    return finish("attention_cost", checks, quick=arguments.quick, results=results)


if __name__ == "__main__":
    sys.exit(main())
