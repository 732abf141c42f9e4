"""Memory as it is: what there is, what this process holds, and what running out looks like. What work needs is in `forecasts`."""

from __future__ import annotations

import gc
import resource
from pathlib import Path

from ropepp_eval.adapters.answers import Failure


def available_memory(device: str = "cpu") -> int | None:
    """Bytes free on a device: of a GPU, or of this machine within its container's limit; None where it can't be told."""
    if device.startswith("cuda"):
        import torch

        free: int = torch.cuda.mem_get_info(torch.device(device))[0]
        return free
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kibibytes = {line.split(":")[0]: int(line.split()[1]) for line in lines if ":" in line}
    free = kibibytes.get("MemAvailable", 0) * 1024
    return min([free, *_container_memory()]) or None


def resident_memory() -> int:
    """Bytes that this process holds; 0 where it can't be told."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * resource.getpagesize()


def _container_memory() -> list[int]:
    """Bytes left under a cgroup's limit, where there is one."""
    root = Path("/sys/fs/cgroup")
    for limit, used in (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):
        try:
            most, now = (root / limit).read_text().strip(), (root / used).read_text().strip()
        except OSError:
            continue
        if most.isdigit() and int(most) < 1 << 60:
            return [max(0, int(most) - int(now))]
    return []


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "not enough memory" in text)


def free_memory() -> None:
    """Give back what nobody holds any more."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def memory_failure(tokens: int, chunk: int) -> Failure:
    """The failure of a row that no smaller piece can save."""
    message = f"{tokens} tokens do not fit in memory, even in chunks of {chunk}; use a smaller dtype or a larger device"
    return Failure("memory", "OutOfMemory", message)
