"""Devices that are not here: what their makers say of them, and how much of it the engine is taken to reach."""

from __future__ import annotations

from dataclasses import dataclass

from ropepp_eval.errors import unknown_name
from ropepp_eval.forecasts.rates import EAGER_BYTES, Rates
from ropepp_eval.forecasts.shapes import DTYPE_BYTES, ModelShapes
from ropepp_eval.words import gib

MATRIX_SHARE, ATTENTION_SHARE, MASKED_SHARE = 0.5, 0.4, 0.25
"""Of the matrix rate: by products of long prompts, by fused attention, and by fused attention that reads a mask."""
WEIGHTS_SHARE, CACHE_SHARE = 0.7, 0.4
"""Of the bandwidth: by weights, and by keys and values of rows of unequal lengths."""
CALL_SECONDS = 0.4e-3
"""Of one layer of one call: Python and some twenty kernels that are started one by one."""
MEMORY_SHARE = 0.94
"""Of a device's memory that a process finds free."""


@dataclass(frozen=True, kw_only=True)
class NamedDevice:
    """A GPU by its maker's data sheet: dense rates, no sparsity."""

    name: str
    words: str
    memory_bytes: int
    bandwidth: float
    """Bytes a second."""
    half: float
    """Operations a second of matrix products in bfloat16 or float16."""
    single: float
    """In float32, where torch uses no tensor cores unless it is told to."""

    @property
    def free_bytes(self) -> int:
        """Memory that a process finds free."""
        return int(MEMORY_SHARE * self.memory_bytes)

    def rates(self, shapes: ModelShapes, dtype: str, attention: str) -> Rates:
        """What the engine is taken to reach."""
        peak = {2: self.half, 4: self.single}.get(DTYPE_BYTES[dtype], self.single / 2)
        attending, masked = ATTENTION_SHARE * peak, MASKED_SHARE * peak
        if attention == "eager":  # bound by the scores that go to memory and back: four operations for each number of a head
            attending = masked = 4.0 * shapes.head_dim * WEIGHTS_SHARE * self.bandwidth / EAGER_BYTES
            attending /= 2  # nothing above the diagonal is left out
        return Rates(
            name=self.name,
            call_seconds=CALL_SECONDS,
            matrix=MATRIX_SHARE * peak,
            attention=attending,
            masked=masked,
            weights=WEIGHTS_SHARE * self.bandwidth,
            cache=CACHE_SHARE * self.bandwidth,
            row=MATRIX_SHARE * peak,
        )

    def assumptions(self, dtype: str) -> list[str]:
        """What `rates` takes for granted, for people."""
        peak = {2: self.half, 4: self.single}.get(DTYPE_BYTES[dtype], self.single / 2)
        return [
            f"{self.words}: {peak / 1e12:,.0f} TFLOP/s in {dtype}, {self.bandwidth / 1e12:.2f} TB/s, {gib(self.memory_bytes)}, by its "
            "data sheet",
            f"taken to be reached: {MATRIX_SHARE:.0%} of that rate by prompts, {ATTENTION_SHARE:.0%} by attention ({MASKED_SHARE:.0%} "
            f"behind a cache), {WEIGHTS_SHARE:.0%} of the bandwidth by weights, {CACHE_SHARE:.0%} by the cache, "
            f"{1e3 * CALL_SECONDS:.1f} ms a layer and call; not measured on this device",
        ]


DEVICES = {
    device.name: device
    for device in (
        NamedDevice(name="h100", words="NVIDIA H100 SXM", memory_bytes=80 << 30, bandwidth=3.35e12, half=989e12, single=67e12),
        NamedDevice(name="h200", words="NVIDIA H200 SXM", memory_bytes=141 << 30, bandwidth=4.8e12, half=989e12, single=67e12),
        NamedDevice(name="a100", words="NVIDIA A100 SXM", memory_bytes=80 << 30, bandwidth=2.04e12, half=312e12, single=19.5e12),
        NamedDevice(name="4090", words="NVIDIA RTX 4090", memory_bytes=24 << 30, bandwidth=1.01e12, half=165e12, single=82.6e12),
    )
}  # fmt: skip
"""By name."""
TYPICAL_CPU = Rates(
    name="typical", call_seconds=3e-4, matrix=1e11, attention=5e10, masked=5e10, weights=1.5e10, cache=8e9, row=3e10
)  # fmt: skip
"""A few cores of a server: good for proportions, before anything is measured."""


def device_named(name: str) -> NamedDevice:
    """The device of a name, however it is written.

    Raises:
        UserError: none is known by it.
    """
    found = DEVICES.get(name.strip().lower().removeprefix("nvidia").removeprefix("rtx").strip(" -_"))
    if found is None:
        raise unknown_name(
            "device model", name, DEVICES, f"known are {', '.join(DEVICES)}; without --device-model this machine is measured"
        )
    return found


def typical_rates(shapes: ModelShapes, device: str, dtype: str, attention: str) -> Rates:
    """Rates whose proportions are right for a kind of device."""
    return DEVICES["h100"].rates(shapes, dtype, attention) if device == "cuda" else TYPICAL_CPU
