"""What looking at attention costs: statistics of every head by role on one long row, in time and peak memory.

The row is read in chunks, first without looking and then with, in this process; the shape is the paper's 376M with random weights. With
`--last-chunk` the cache is filled with numbers and only the last chunk is read: the peak, which lies there, is the same, and it takes a fraction
of the time.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from _common import Check, Stopwatch, finish, forget_peak, parser, peak_bytes

from ropepp_eval.adapters.native.cache import StackView
from ropepp_eval.modeling import RopePPForCausalLM
from ropepp_eval.probes.attention import look_at
from ropepp_eval.probes.cost_native import fill
from ropepp_eval.probes.execute import engine_of
from ropepp_eval.probes.sources import card_shape, shape_config
from ropepp_eval.probes.texts import Text
from ropepp_eval.probes.watching import empty_view

GIB = 2**30


@torch.inference_mode()
def filled_view(lm: Any, length: int, left: int) -> StackView:
    """A cache of random numbers in place of all but the last `left` tokens."""
    view = empty_view(lm, length)
    lm.forward.extend(view, np.zeros(1, dtype=np.int64))  # makes the buffers
    fill(view.store)
    view.length = length - left
    return view


def main() -> int:
    options = parser(__doc__ or "")
    options.add_argument("--length", type=int, default=16384, help="tokens of the row")
    options.add_argument("--position", default="ropepp_ec")
    options.add_argument("--dtype", default="bfloat16", help="float32 is quicker where the processor has no bfloat16")
    options.add_argument("--chunk", type=int, default=1024, help="tokens read at once")
    options.add_argument(
        "--last-chunk", action="store_true", help="read the last chunk alone: memory, and no times of a whole row"
    )
    arguments = options.parse_args()
    length = 512 if arguments.quick else arguments.length
    shape = card_shape("376M")
    if arguments.quick:
        shape |= {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128, "vocab_size": 4096}
    torch.manual_seed(0)
    torch.set_default_dtype(getattr(torch, arguments.dtype))
    model = RopePPForCausalLM(shape_config(shape, arguments.position)).eval()
    torch.set_default_dtype(torch.float32)
    model.set_attn_implementation("sdpa")
    lm = engine_of(model)
    lm.forward.chunk_tokens = min(arguments.chunk, length // 2)
    ids = np.random.default_rng(0).integers(10, shape["vocab_size"], length)
    text = Text(tuple(map(int, ids)), tuple(map(int, ids[-4:])), (range(length // 2, length // 2 + 20),), 50.0)
    reading, looking, view = Stopwatch(), Stopwatch(), None
    if arguments.last_chunk:
        view = filled_view(lm, length, lm.forward.chunk_tokens)
    else:
        with torch.inference_mode(), reading:
            lm.forward.extend(empty_view(lm, length), ids)
    forget_peak()
    with looking:
        lines = look_at(lm, text, view)
    peak = peak_bytes() / GIB
    without = f"{reading.seconds:.1f} s without looking; " if reading.seconds else ""
    print(f"{len(lines)} heads at {length:,} tokens: {looking.seconds:.1f} s; {without}peak {peak:.2f} GiB")
    checks = [Check(f"peak memory in GiB at {length:,} tokens", peak, 4.0)]
    facts = {
        "seconds": looking.seconds,
        "seconds_without": reading.seconds or None,
        "length": length,
        "dtype": arguments.dtype,
    }
    return finish("probe_attention", checks, quick=arguments.quick, **facts)


if __name__ == "__main__":
    sys.exit(main())
