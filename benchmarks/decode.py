"""A step of greedy decoding on the CPU against what reading its weights and its cache once must take.

RoPE, RoPE++_EH and RoPE++_EC of the 376M shape with random weights and a random cache (what stands in it does not matter to time), one row
and eight side by side. The floor of a step is the bytes of all weights but the input embeddings, and of keys and values, over the rate at
which this machine reads memory, measured beside every step.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import _common as common

POSITIONS = ("rope", "ropepp_eh", "ropepp_ec")
ROWS = 8
STREAM_BYTES = 1 << 30
"""More than any cache of a processor holds."""


@dataclass(frozen=True)
class Measured:
    """Steps of one model at one context length."""

    position: str
    dtype: str
    context: int
    rows: int
    seconds: float
    floor_seconds: float

    @property
    def over_floor(self) -> float:
        return self.seconds / self.floor_seconds


def main() -> int:
    options = common.parser(__doc__ or "")
    options.add_argument("--dtypes", default="float32,bfloat16", help="with commas (default both)")
    options.add_argument("--contexts", default="4096,16384", help="tokens, with commas (default 4096,16384)")
    options.add_argument("--steps", type=int, default=7, help="of each kind; the median counts (default 7)")
    options.add_argument("--profile", action="store_true", help="print where the time of RoPE's steps goes")
    options.add_argument(
        "--products", action="store_true", help="only time one step's largest parts, each written in several ways"
    )
    given = options.parse_args()
    if given.products:
        products()
        return 0
    if given.side:
        print(json.dumps(side(**json.loads(given.settings))))
        return 0
    contexts = [64] if given.quick else [int(context) for context in given.contexts.split(",")]
    found: list[Measured] = []
    for dtype in given.dtypes.split(","):
        for position in POSITIONS:
            settings = {"position": position, "dtype": dtype, "contexts": contexts, "steps": given.steps,
                        "shape": "tiny" if given.quick else "376M", "profile": given.profile and position == "rope"}  # fmt: skip
            result = common.run_side(__file__, f"{position} in {dtype}", settings["shape"], given.quick, **settings)
            found += [Measured(**one) for one in result["values"]]
    print(f"{'':28}{'ms a step':>12}{'floor':>10}{'ratio':>8}")
    for one in found:
        name = f"{one.position}, {one.dtype}, {one.rows} x {one.context:,}"
        print(f"{name:34}{1000 * one.seconds:>9.1f}{1000 * one.floor_seconds:>9.1f}{one.over_floor:>8.2f}")
    return common.finish("decode", checks_of(found), quick=given.quick, steps=[vars(one) for one in found])


def checks_of(found: list[Measured]) -> list[common.Check]:
    checks = []
    for one in found:
        name = f"{one.position} in {one.dtype} at {one.context:,} tokens"
        if one.rows == 1:
            checks.append(common.Check(f"{name}, a row over its floor", one.over_floor, 1.7))
            (several,) = (
                other for other in found
                if other.rows > 1 and (other.position, other.dtype, other.context) == (one.position, one.dtype, one.context)
            )  # fmt: skip
            checks.append(common.Check(f"{name}, {ROWS} rows over one", several.seconds / one.seconds, 2.2))
    return checks


def side(**settings: Any) -> dict[str, Any]:
    """All steps of one model."""
    import torch

    from ropepp_eval.adapters.native.forward import Forward

    torch.manual_seed(0)
    dtype = getattr(torch, settings["dtype"])
    model = model_of(settings["position"], settings["shape"], dtype)
    forward = Forward(model, 2048)
    weights = sum(parameter.nbytes for parameter in model.parameters()) - model.get_input_embeddings().weight.nbytes
    stream = torch.ones(STREAM_BYTES // 4)
    values = []
    for context in settings["contexts"]:
        for rows in (1, ROWS):
            step, cache_bytes = stepper(forward, context, rows, settings["steps"])
            step()
            times, rates = [], []
            with _profiled(settings["profile"]):
                for _ in range(settings["steps"]):
                    rates.append(STREAM_BYTES / seconds_of(stream.sum))
                    times.append(seconds_of(step))
            floor = (weights + cache_bytes) / statistics.median(rates)
            values.append({"position": settings["position"], "dtype": settings["dtype"], "context": context, "rows": rows,
                           "seconds": statistics.median(times), "floor_seconds": floor})  # fmt: skip
    return {"weights": weights, "bytes_a_second": statistics.median(rates), "values": values}


def model_of(position: str, shape: str, dtype: Any) -> Any:
    """A random model of the paper's shape."""
    import torch

    from ropepp_eval.modeling.configuration import RopePPConfig
    from ropepp_eval.modeling.model import RopePPForCausalLM
    from ropepp_eval.positions.registry import get_position

    config = RopePPConfig(
        position=position, **get_position(position)(base=500000.0).to_hf(), **common.SHAPES[shape], max_position_embeddings=65536,
        vocab_size=4096 if shape == "tiny" else common.VOCABULARY,
        attn_implementation="sdpa", tie_word_embeddings=False,
    )  # fmt: skip
    torch.set_default_dtype(dtype)
    try:
        return RopePPForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(torch.float32)


def stepper(forward: Any, context: int, rows: int, steps: int) -> tuple[Any, int]:
    """A step that writes one token more for each of `rows` rows of `context` tokens, as the generator does, and the bytes of its cache."""
    import torch

    from ropepp_eval.adapters.native.cache import RaggedView

    config = forward.model.config
    store = forward.new_store(rows, context + steps + 2)
    sample = torch.zeros((1, config.heads.key_value, 1, config.head_dim), dtype=forward.model.dtype)
    for layer in range(forward.layers):
        for buffer in store.buffers(layer, sample, sample):
            buffer.normal_()
    view = RaggedView(store, [context] * rows, forward.device)
    newest = torch.zeros(rows, dtype=torch.int64)

    @torch.inference_mode()
    def step() -> None:
        nonlocal newest
        best = forward.head(forward.step(newest, view)).max(-1)
        newest = best.indices
        torch.where(torch.isfinite(best.values), best.indices, -1).tolist()

    return (
        step,
        2 * forward.layers * rows * context * config.heads.key_value * config.head_dim * forward.model.dtype.itemsize,
    )


def seconds_of(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def products() -> None:
    """Milliseconds of the output layer and of one layer's attention at 16k, float32: as torch does them by itself, and otherwise."""
    import torch
    from torch.nn.functional import linear, scaled_dot_product_attention

    from ropepp_eval.adapters.native.few_rows import rows_by_blocks
    from ropepp_eval.modeling.attention import _sdpa_of_groups

    weight = torch.randn(common.VOCABULARY, 1024)
    for rows in (1, ROWS, 512):
        x = torch.randn(rows, 1024)
        show(f"output layer, {rows} rows", {
            "linear": lambda x=x: linear(x, weight),
            "by blocks": lambda x=x: rows_by_blocks(x, weight),
            "oneDNN": lambda x=x: torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], ""),
        })  # fmt: skip
    for name, heads, shared in (("rope", 8, 4), ("ropepp_ec", 16, 4), ("32 heads on 8", 32, 8)):
        for rows in (1, ROWS):
            key, value = torch.randn(2, rows, shared, 16384, 128)
            query = torch.randn(rows, heads, 1, 128)
            show(f"{name}, {rows} rows", {
                "sdpa": lambda q=query, k=key, v=value: scaled_dot_product_attention(q, k, v, enable_gqa=True),
                "as a sequence": lambda q=query, k=key, v=value: _sdpa_of_groups(q, k, v, None, dropout=0, scaling=128**-0.5),
            })  # fmt: skip


def show(what: str, ways: dict[str, Any]) -> None:
    import torch

    with torch.inference_mode():
        found = {name: statistics.median(seconds_of(way) for _ in range(9)) for name, way in ways.items()}
    print(f"{what}: " + ", ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in found.items()), flush=True)


@contextlib.contextmanager
def _profiled(wanted: bool) -> Iterator[None]:
    """With `--profile`, torch's table of operators on standard error."""
    if not wanted:
        yield
        return
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as seen:
        yield
    print(seen.key_averages(group_by_input_shape=True).table(sort_by="self_cpu_time_total", row_limit=16), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
