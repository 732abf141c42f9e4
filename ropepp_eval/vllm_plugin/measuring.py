"""What a worker of vLLM tells of its memory beside its own methods: the class that `worker_extension_cls` names."""

from __future__ import annotations

from typing import Any

import torch

from ropepp_eval.processes import forget_peak, peak_bytes

MEASURING = f"{__name__}.Measuring"


class Measuring:
    """Mixed into vLLM's worker, whose `device` and `model_runner` it uses."""

    device: torch.device
    model_runner: Any

    def begin_peak(self) -> None:
        """Let the peak of this process's memory begin here."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            forget_peak()

    def measured_bytes(self) -> dict[str, int]:
        """`peak`: of the GPU's or the resident memory since `begin_peak`; `pool`: the cache's buffers; `threads`: of torch."""
        cuda = self.device.type == "cuda"
        buffers = {buffer.data_ptr(): int(buffer.nbytes) for buffer in self.model_runner.kv_caches}
        return {
            "peak": torch.cuda.max_memory_allocated(self.device) if cuda else peak_bytes(),
            "pool": sum(buffers.values()),
            "threads": torch.get_num_threads(),
        }
