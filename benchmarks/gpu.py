"""Prefill and decoding on a GPU for RoPE, RoPE++ EH and EC: against the matrix rate and the bandwidth this GPU was measured at.

Without a GPU it says so and ends. `--device cpu --quick` runs the same code on tiny shapes, to see that it works.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import _common as common
import torch

POSITIONS = ("rope", "ropepp_eh", "ropepp_ec")
STEPS = 16


@dataclass(frozen=True)
class Device:
    """A device and the best it was measured to do."""

    name: str
    matrix_rate: float
    """bfloat16 multiply-adds times two, a second."""
    bandwidth: float
    """Bytes a second, read and written by a copy."""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--device", default="cuda")
    options.add_argument("--quick", action="store_true", help="tiny shapes: shows that it runs, says nothing about speed")
    given = options.parse_args()
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        print("no GPU here: torch sees no CUDA device, so there is nothing to measure")
        return 0
    device = measure_device(given.device, given.quick)
    print(f"{device.name}: {device.matrix_rate / 1e12:.1f} TFLOP/s in bfloat16, {device.bandwidth / 1e9:.0f} GB/s")
    head = (
        "shape",
        "position",
        "tokens",
        "rows",
        "prefill tok/s",
        "attention ms",
        "of rate",
        "decode ms/tok",
        "floor ms",
        "cache MiB",
    )
    print(("{:>6} {:>10} {:>7} {:>5} " + "{:>14}" * 6).format(*head))
    results = list(measure(device, given.device, given.quick))
    for row in results:
        print(
            f"{row['shape']:>6} {row['position']:>10} {row['tokens']:>7} {row['rows']:>5} {row['prefill_tokens_per_second']:>14,.0f}"
            f"{row['attention_ms']:>14.2f}{row['attention_of_rate']:>14.0%}{row['decode_ms']:>14.3f}{row['floor_ms']:>14.3f}"
            f"{row['cache_bytes'] / 2**20:>14,.0f}"
        )
    return common.finish("gpu", [], quick=given.quick, device=device.name, rows=results)


def measure(device: Device, where: str, quick: bool) -> Iterator[dict[str, Any]]:
    """One line a shape, position, length and number of rows."""
    lengths, rows = ((128, 256), (1, 2)) if quick else ((2048, 8192, 32768, 65536), (1, 8))
    for shape in ("tiny",) if quick else ("376M", "776M"):
        for position in POSITIONS:
            model = build(shape, position, where, quick)
            for length in lengths:
                for count in rows:
                    yield {"shape": shape, "position": position, **measure_one(model, device, where, length, count)}
            del model


def build(shape: str, position: str, where: str, quick: bool) -> Any:
    """A model with random bfloat16 weights."""
    from ropepp_eval.modeling.configuration import RopePPConfig
    from ropepp_eval.modeling.model import RopePPForCausalLM

    config = RopePPConfig(
        vocab_size=4096 if quick else common.VOCABULARY,
        max_position_embeddings=65536,
        position=position,
        **common.SHAPES[shape],
    )
    with torch.device(where):
        return RopePPForCausalLM(config).to(torch.bfloat16).eval()


@torch.inference_mode()
def measure_one(model: Any, device: Device, where: str, length: int, rows: int) -> dict[str, Any]:
    """Prefill of one row, attention by itself, and a decoding step of `rows` rows after `length` tokens."""
    from ropepp_eval.adapters.model_facts import shapes_of
    from ropepp_eval.adapters.native.cache import RaggedView, StackView
    from ropepp_eval.adapters.native.forward import Forward

    forward, shapes = Forward(model, length), shapes_of(model)
    store = forward.new_store(rows, length + STEPS)
    ids = torch.randint(0, 1000, (1, length), device=where)
    prefill = best(lambda: forward.hidden(ids, cache=StackView(store)), where, 3)
    for row in range(1, rows):
        store.copy(0, row, length)

    def step() -> None:
        view = RaggedView(store, [length] * rows, where)
        hidden = forward.hidden(ids[:, :1].expand(rows, 1), cache=view, positions=view.lengths[:, None])
        forward.head(hidden[:, 0]).argmax(-1)

    decode = best(step, where, STEPS)
    attention = shapes.layers * attention_seconds(shapes, where, length)
    flops = (
        2 * shapes.layers * shapes.attention_heads * shapes.head_dim * length * length
    )  # two products, half of them masked
    cache = rows * shapes.kv_bytes(length, 2)
    weights = 2 * (shapes.parameters - shapes.vocab_size * shapes.hidden_size)  # of the embedding only a row is read
    return {
        "tokens": length,
        "rows": rows,
        "prefill_tokens_per_second": length / prefill,
        "attention_ms": attention * 1e3,
        "attention_of_rate": flops / attention / device.matrix_rate,
        "decode_ms": decode * 1e3,
        "floor_ms": (weights + cache) / device.bandwidth * 1e3,
        "cache_bytes": cache,
    }


def attention_seconds(shapes: Any, where: str, length: int) -> float:
    """One layer's causal attention over a whole prompt."""
    query = torch.randn(1, shapes.attention_heads, length, shapes.head_dim, device=where, dtype=torch.bfloat16)
    key = query[:, : shapes.key_value_heads].contiguous()
    attend = torch.nn.functional.scaled_dot_product_attention
    return best(lambda: attend(query, key, key, is_causal=True, enable_gqa=True), where, 3)


def measure_device(where: str, quick: bool) -> Device:
    """The matrix rate and the bandwidth of a device."""
    size = 512 if quick else 8192
    square = torch.randn(size, size, device=where, dtype=torch.bfloat16)
    rate = 2 * size**3 / best(lambda: square @ square, where, 10)
    source = torch.empty((1 << 24) if quick else (1 << 31), dtype=torch.uint8, device=where)
    target = torch.empty_like(source)
    bandwidth = 2 * source.numel() / best(lambda: target.copy_(source), where, 10)
    name = torch.cuda.get_device_name() if where.startswith("cuda") else str(common.machine()["cpu"])
    return Device(name, rate, bandwidth)


def best(work: Callable[[], Any], where: str, repeats: int) -> float:
    """Seconds of the fastest of some runs, after one that does not count."""
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        work()
        if where.startswith("cuda"):
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


if __name__ == "__main__":
    sys.exit(main())
