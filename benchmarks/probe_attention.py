"""What looking at attention costs: statistics of every head by role on one long row, beside reading the row without looking.

Both read the same ids in chunks of 1,024 tokens in this process, without looking first; the shape is the paper's 376M with random weights.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from _common import Check, Stopwatch, finish, forget_peak, parser, peak_bytes

from ropepp_eval.modeling import RopePPForCausalLM
from ropepp_eval.probes.attention import look_at
from ropepp_eval.probes.execute import engine_of
from ropepp_eval.probes.sources import card_shape, shape_config
from ropepp_eval.probes.texts import Text
from ropepp_eval.probes.watching import empty_view

GIB = 2**30


def main() -> int:
    options = parser(__doc__ or "")
    options.add_argument("--length", type=int, default=16384, help="tokens of the row")
    options.add_argument("--position", default="ropepp_ec")
    options.add_argument("--dtype", default="bfloat16", help="float32 is quicker where the processor has no bfloat16")
    options.add_argument("--looking-only", action="store_true", help="do not read the row without looking first")
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
    lm.forward.chunk_tokens = 1024
    ids = np.random.default_rng(0).integers(10, shape["vocab_size"], length)
    text = Text(tuple(map(int, ids)), tuple(map(int, ids[-4:])), (range(length // 2, length // 2 + 20),), 50.0)
    reading = Stopwatch()
    if not arguments.looking_only:
        with torch.inference_mode(), reading:
            lm.forward.extend(empty_view(lm, length), ids)
    forget_peak()
    with Stopwatch() as looking:
        lines = look_at(lm, text)
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
