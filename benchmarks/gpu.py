"""A GPU in one call: prefill and decoding of RoPE, EH, EC, FoPE and ALiBi against the matrix rate and the bandwidth this GPU was measured at,
forecasts of memory against what was allocated, the kernels sdpa, flash and flex, logits against the CPU's, and both engines.

Short work comes first. What is left when the time is up, what is not installed and what the device refuses is named at the end. Without a GPU
it says so and ends. `--device cpu --quick` runs the same code on tiny shapes, to see that it works.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _common as common
import torch

POSITIONS = ("rope", "ropepp_eh", "ropepp_ec", "fope", "alibi")
KERNELS = ("sdpa", "flash_attention_2", "flex_attention")
STEPS = 16
TOLERANCE = 1e-3
"""Of a float32 logit on the device from the CPU's."""


@dataclass(frozen=True)
class Device:
    """A device and the best it was measured to do."""

    name: str
    where: str
    matrix_rate: float
    """bfloat16 multiply-adds times two, a second."""
    bandwidth: float
    """Bytes a second, read and written by a copy."""

    @property
    def cuda(self) -> bool:
        return self.where.startswith("cuda")


@dataclass
class Session:
    """What is asked, until when, and what could not be run."""

    device: Device
    quick: bool
    until: float
    left_out: list[str] = field(default_factory=list)

    def has_time(self, what: str) -> bool:
        """Whether there is time for more; `what` is noted otherwise."""
        if time.monotonic() < self.until:
            return True
        self.left_out.append(f"{what}: the time was up")
        return False


def main() -> int:
    options = common.parser(__doc__ or "")
    options.add_argument("--device", default="cuda")
    options.add_argument(
        "--seconds", type=float, default=560.0, help="no new measurement begins after so many (default 560)"
    )
    given = options.parse_args()
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        print("no GPU here: torch sees no CUDA device, so there is nothing to measure")
        return 0
    began = time.monotonic()
    device = measure_device(given.device, given.quick)
    print(f"{device.name}: {device.matrix_rate / 1e12:.1f} TFLOP/s in bfloat16, {device.bandwidth / 1e9:.0f} GB/s")
    session = Session(device, given.quick, began + given.seconds)
    checks = correctness(session)
    kernels = list(shown(KERNEL_COLUMNS, kernel_times(session)))
    engines(session)
    rows = list(shown(COLUMNS, times(session)))
    for line in session.left_out or ["nothing"]:
        print(f"not run: {line}")
    told = [{name: value if value == value else None for name, value in row.items()} for row in rows]  # JSON has no NaN
    return common.finish(
        "gpu", checks, quick=given.quick, device=device.name, rows=told, kernels=kernels, left_out=session.left_out
    )


COLUMNS = {
    "shape": "{:>6}", "position": "{:>10}", "tokens": "{:>7}", "rows": "{:>5}", "prefill_tokens_per_second": "{:>9.0f}",
    "of_rate": "{:>8.0%}", "decode_ms": "{:>10.3f}", "floor_ms": "{:>9.3f}", "waits_a_step": "{:>6.1f}", "cache_mib": "{:>10,.0f}",
    "allocated_mib": "{:>10,.0f}", "forecast_over": "{:>9.3f}",
}  # fmt: skip
KERNEL_COLUMNS = {"kernel": "{:>18}", "position": "{:>10}", "tokens": "{:>7}", "prefill_ms": "{:>12.1f}"}


def shown(columns: dict[str, str], rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows, each printed when it is there."""
    for number, row in enumerate(rows):
        if not number:
            print("  ".join(name.replace("_", " ") for name in columns))
        print("  ".join(style.format(row[name]) for name, style in columns.items()), flush=True)
        yield row


def times(session: Session) -> Iterator[dict[str, Any]]:
    """One line a length, number of rows, shape and position."""
    lengths, counts = ((128, 256), (1, 2)) if session.quick else ((2048, 8192, 32768, 65536), (1, 8))
    shapes = ("tiny",) if session.quick else ("376M", "776M")
    models = {(shape, name): build(shape, name, session) for shape in shapes for name in POSITIONS}
    for length in lengths:
        for count in counts:
            for (shape, position), model in models.items():
                if session.has_time(f"{shape} {position}, {count} rows of {length:,}"):
                    found = measure_one(model, session.device, length, count)
                    yield {"shape": shape, "position": position, "tokens": length, "rows": count, **found}


def build(shape: str, position: str, session: Session, kernel: str = "sdpa", dtype: Any = torch.bfloat16) -> Any:
    """A model with random weights, the same for each kernel and dtype."""
    from ropepp_eval.modeling.configuration import RopePPConfig
    from ropepp_eval.modeling.model import RopePPForCausalLM

    config = RopePPConfig(
        vocab_size=4096 if shape == "tiny" else common.VOCABULARY, max_position_embeddings=65536, position=position,
        attn_implementation=kernel, **common.SHAPES[shape],
    )  # fmt: skip
    torch.manual_seed(0)
    if shape == "tiny":  # made on the CPU: another device draws other numbers
        return RopePPForCausalLM(config).to(session.device.where, dtype).eval()
    with torch.device(session.device.where):
        return RopePPForCausalLM(config).to(dtype).eval()


@torch.inference_mode()
def measure_one(model: Any, device: Device, length: int, rows: int) -> dict[str, Any]:
    """Prefill of one row, and a decoding step of `rows` rows after `length` tokens, as the generator makes them."""
    from ropepp_eval.adapters.model_facts import shapes_of
    from ropepp_eval.adapters.native.cache import RaggedView, StackView
    from ropepp_eval.adapters.native.forward import Forward
    from ropepp_eval.forecasts.calls import Read, Steps
    from ropepp_eval.forecasts.memory import plan_memory
    from ropepp_eval.forecasts.rates import attention_operations, matrix_operations

    forward, shapes = Forward(model, length), shapes_of(model)
    held = torch.cuda.memory_allocated() - bytes_of(model) if device.cuda else 0
    if device.cuda:
        torch.cuda.reset_peak_memory_stats()
    store, capacity = forward.new_store(rows, length + STEPS + 2), rows * (length + STEPS + 2)
    ids = torch.randint(0, 1000, (1, length), device=device.where)
    prefill = best(lambda: forward.head(forward.hidden(ids, cache=StackView(store))[0, -1:]), device, 3)
    for row in range(1, rows):
        store.copy(0, row, length)
    view, newest = RaggedView(store, [length] * rows, device.where), ids[0, :1].expand(rows)

    def step() -> None:
        forward.head(forward.step(newest, view)).max(-1).indices.tolist()

    decode, waits = best(step, device, STEPS), waiting(step, device)
    read = Read(tokens=length, logits=1, capacity=capacity)
    steps = Steps(rows=rows, context=length, steps=STEPS, capacity=capacity, even=True)
    planned = plan_memory(
        shapes, [read, steps], dtype="bfloat16", attention="sdpa", chunk_tokens=length, device=device.where
    )
    allocated = torch.cuda.max_memory_allocated() - held if device.cuda else float("nan")
    operations = matrix_operations(shapes, length, 1) + attention_operations(shapes, read)
    cache = rows * shapes.kv_bytes(length, 2)
    weights = bytes_of(model) - model.get_input_embeddings().weight.nbytes  # of the embedding only a row is read
    return {
        "prefill_tokens_per_second": length / prefill, "of_rate": operations / prefill / device.matrix_rate,
        "decode_ms": decode * 1e3, "floor_ms": (weights + cache) / device.bandwidth * 1e3, "waits_a_step": waits,
        "cache_mib": cache / 2**20, "allocated_mib": allocated / 2**20, "forecast_over": planned.total / allocated,
    }  # fmt: skip


def bytes_of(model: Any) -> int:
    return sum(parameter.nbytes for parameter in model.parameters())


def waiting(step: Callable[[], None], device: Device) -> float:
    """How often a step makes the processor wait for the device; one for the tokens it chose."""
    if not device.cuda:
        return float("nan")
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return float(sum("synchroniz" in str(one.message) for one in said))


def kernel_times(session: Session) -> Iterator[dict[str, Any]]:
    """Milliseconds of a prefill by each kernel that there is."""
    shape, lengths = ("tiny", (256,)) if session.quick else ("376M", (8192, 32768))
    for length in lengths:
        for kernel in kernels_here(session):
            for position in ("rope", "ropepp_ec", "alibi"):
                if session.has_time(f"{kernel}, {position} at {length:,}"):
                    model = build(shape, position, session, kernel)
                    ids = torch.randint(0, 1000, (1, length), device=session.device.where)
                    with torch.inference_mode():
                        seconds = best(lambda m=model, i=ids: m(i, logits_to_keep=1), session.device, 3)
                    yield {"kernel": kernel, "position": position, "tokens": length, "prefill_ms": 1e3 * seconds}


def kernels_here(session: Session) -> list[str]:
    """Those that can be used; of the others it is noted once why not."""
    from ropepp_eval.checkpoints.loading import check_attention
    from ropepp_eval.errors import UserError

    found = []
    for kernel in KERNELS:
        why = ""
        if kernel == "flash_attention_2" and (importlib.util.find_spec("flash_attn") is None or not session.device.cuda):
            why = "needs a GPU and the package flash-attn"
        try:
            check_attention(kernel, session.device.where)
        except UserError as error:
            why = why or str(error)
        if not why:
            found.append(kernel)
        elif f"{kernel}: {why}" not in session.left_out:
            session.left_out.append(f"{kernel}: {why}")
    return found


@torch.inference_mode()
def correctness(session: Session) -> list[common.Check]:
    """Logits of a tiny model, two rows of 96 tokens: float32 on the device, by each kernel that takes float32, against eager on the CPU."""
    cpu = Session(Device("CPU", "cpu", 1, 1), True, session.until)
    ids = torch.randint(0, 1000, (2, 96), generator=torch.Generator().manual_seed(1))
    checks = []
    for position in POSITIONS:
        expected = build("tiny", position, cpu, "eager", torch.float32)(ids).logits
        for kernel in kernels_here(session):
            for dtype in (torch.float32, torch.bfloat16):
                if kernel == "flash_attention_2" and dtype == torch.float32:
                    continue
                found = build("tiny", position, session, kernel, dtype)(ids.to(session.device.where)).logits
                apart = float((found.float().cpu() - expected).abs().max())
                if dtype == torch.float32:
                    checks.append(common.Check(f"{position} by {kernel}, float32 logits", apart, TOLERANCE, exact=True))
                else:
                    print(f"{position} by {kernel}, bfloat16 logits: within {apart:.3f} of the CPU's float32")
    return checks


def engines(session: Session) -> None:
    """`backends.py` in this run, where there is vLLM: it prints its own lines."""
    if session.quick or not session.device.cuda:
        session.left_out.append("vLLM: backends.py measures it, without --quick on a GPU")
    elif importlib.util.find_spec("vllm") is None:
        session.left_out.append("vLLM: not installed here")
    elif session.has_time("vLLM"):
        script = Path(__file__).with_name("backends.py")
        try:
            subprocess.run(
                [sys.executable, str(script)], check=False, timeout=max(60, (session.until - time.monotonic()) / 2)
            )
        except subprocess.TimeoutExpired as error:
            session.left_out.append(f"vLLM: not done after {error.timeout:.0f} s")


def measure_device(where: str, quick: bool) -> Device:
    """The matrix rate and the bandwidth of a device."""
    size = 512 if quick else 8192
    square = torch.randn(size, size, device=where, dtype=torch.bfloat16)
    name = torch.cuda.get_device_name() if where.startswith("cuda") else str(common.machine()["cpu"])
    device = Device(name, where, 1, 1)
    rate = 2 * size**3 / best(lambda: square @ square, device, 10)
    source = torch.empty((1 << 24) if quick else (1 << 31), dtype=torch.uint8, device=where)
    target = torch.empty_like(source)
    return Device(name, where, rate, 2 * source.numel() / best(lambda: target.copy_(source), device, 10))


def best(work: Callable[[], Any], device: Device, repeats: int) -> float:
    """Seconds of the fastest of some runs, after one that does not count."""
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        work()
        if device.cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


if __name__ == "__main__":
    sys.exit(main())
