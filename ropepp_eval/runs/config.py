"""What a run is asked to do, with every default resolved in one place."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropepp_eval.adapters.settings import Settings
from ropepp_eval.dtypes import dtype_name
from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.lengths import parse_length
from ropepp_eval.rows.building import DEFAULT_SAMPLES, DEFAULT_SEED, PROTOCOLS
from ropepp_eval.rows.catalogue import load_task_folder, resolve_tasks
from ropepp_eval.rows.protocols import protocol_label
from ropepp_eval.runs.shards import Shard

BACKENDS = ("native", "vllm")
DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")
VLLM_ONLY = ("tensor_parallel_size", "gpu_memory_utilization")
NOT_OF_THE_RUN = ("quiet", "verbose", "elsewhere")
"""Fields that say what is printed, or where it is computed: no part of what is run."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run, as the user asked for it."""

    checkpoints: tuple[str, ...]
    """Folders, hub ids or names of cards."""
    tasks: tuple[str, ...]
    """Task names, groups expanded."""
    lengths: tuple[int, ...]
    """Context lengths in tokens, rising."""
    samples: int = DEFAULT_SAMPLES
    """Rows a cell at most."""
    seed: int = DEFAULT_SEED
    protocol: str = "reference"
    data_dir: str | None = None
    """Folder of real corpora; None uses generated stand-ins, marked in every table."""
    repeat_text: bool = False
    """Use a corpus again where it is too small for a length; otherwise that is an error."""
    offline: bool = False
    out: str | None = None
    """Run folder; None derives one from what the run is, so the same run finds it again."""
    device: str = "auto"
    dtype: str = "auto"
    attention: str = "sdpa"
    position: str | None = None
    """What weights can't say (`nope`, `rope+pi8`); None lets config and shapes tell."""
    position_module: tuple[str, ...] = ()
    """Python files that register position embeddings."""
    task_folder: tuple[str, ...] = ()
    """Folders with tasks of the user's own."""
    tokenizer: str | None = None
    """Folder or hub id; None takes the checkpoint's own."""
    allow_beyond_trained_length: bool = False
    """Allow cells past `max_position_embeddings`: the way to test extrapolation."""
    backend: str = "native"
    adapter_options: tuple[tuple[str, Any], ...] = ()
    """Further settings of the adapter, such as (("chunk_tokens", 8192),)."""
    quiet: bool = False
    verbose: bool = False
    """Say also how the engine puts requests together."""
    shard: str | None = None
    """`2/8`: ask the second eighth of the rows alone, by cost; see `runs.shards`."""
    elsewhere: bool = False
    """Rows are answered on other machines, whose kind of device `device` names: what this one has does not matter."""
    grouped: tuple[str, ...] = ()
    """The tasks that no one named, only a group: left out at a length that does not hold them."""

    @classmethod
    def of(cls, *checkpoints: Any, **settings: Any) -> RunConfig:
        """A config from loosely typed values (Python API, command line, config files and earlier runs share it).

        Raises:
            UserError: an unknown setting or task, a bad length, samples below 1, no checkpoint; whatever can be judged without
                torch and without looking at a checkpoint.
        """
        known = [field.name for field in dataclasses.fields(cls) if field.name != "checkpoints"]
        for name in settings:
            if name not in known:
                raise unknown_name("setting", name, known, "see ropepp_eval.evaluate")
        if not checkpoints:
            raise UserError("no checkpoint was named; give a folder or a hub id, such as models/demo/rope")
        values = dict(settings)
        for name in ("position_module", "task_folder"):
            given = values.get(name, ())
            paths = [given] if isinstance(given, (str, os.PathLike)) else given
            values[name] = tuple(os.path.expanduser(os.fspath(path)) for path in paths)
        for folder in values["task_folder"]:
            load_task_folder(folder)
        named = [part.strip() for item in _listed(settings.get("tasks", ())) for part in item.split(",")]
        values["tasks"] = tuple(entry.name for entry in resolve_tasks(named))
        unnamed = {*settings.get("grouped", ())} | ({*values["tasks"]} - {*named})
        values["grouped"] = tuple(task for task in values["tasks"] if task in unnamed)
        values["lengths"] = tuple(sorted({parse_length(length) for length in _listed(settings.get("lengths", ()))}))
        if not values["lengths"]:
            raise UserError("no context length was named; give --lengths, such as --lengths 2k,4k,8k")
        for name in ("data_dir", "out", "tokenizer"):
            values[name] = None if values.get(name) is None else os.path.expanduser(os.fspath(values[name]))
        values["dtype"] = dtype_name(str(values.get("dtype", "auto")))
        options = values.get("adapter_options", ())
        values["adapter_options"] = tuple(sorted(options.items() if isinstance(options, Mapping) else map(tuple, options)))
        config = cls(checkpoints=tuple(dict.fromkeys(os.path.expanduser(os.fspath(c)) for c in checkpoints)), **values)
        config.check()
        return config

    def check(self) -> None:
        """Raise UserError for values that can be judged without torch and without looking at any file."""
        if self.samples < 1:
            raise UserError(f"samples {self.samples} is below 1; ask for at least one row a cell, such as --samples 10")
        if self.protocol not in PROTOCOLS:
            raise UserError(f"protocol {self.protocol!r} is not known; it may be {' or '.join(PROTOCOLS)}")
        if self.backend not in BACKENDS:
            raise UserError(f"backend {self.backend!r} is not known; it may be {' or '.join(BACKENDS)}")
        if self.device.partition(":")[0] not in DEVICES:
            raise UserError(f"device {self.device!r} is not known; it may be {', '.join(DEVICES[:-1])} or cuda:1")
        if self.shard is not None:
            Shard.parse(self.shard)
        if self.backend == "native":
            options = dict(self.adapter_options)
            if any(name in options for name in VLLM_ONLY):
                raise UserError(
                    "--tensor-parallel-size and --gpu-memory-utilization are vLLM's; add --backend vllm or leave them out"
                )
            Settings.of(options)

    @property
    def device_kind(self) -> str:
        """The kind of device that answers: `cpu`, `cuda`. Raises UserError where it should be here and is not."""
        if self.elsewhere:
            return self.device
        from ropepp_eval.checkpoints.loading import resolved_device

        return resolved_device(self.device).partition(":")[0]

    def folder_in(self, out: Path) -> Path:
        """The run folder where the run goes to `out`: `out`, or in it the shard's."""
        return out if self.shard is None else Shard.parse(self.shard).folder_in(out)

    @property
    def protocol_label(self) -> str:
        """The protocol as rows and tables name it, the chat format with it."""
        return protocol_label(self.protocol, dict(self.adapter_options).get("prompt_format") or "base")

    def arguments(self) -> dict[str, Any]:
        """Everything that repeats the run, as `run.json` holds it; `out` is the folder that holds it."""
        left = (*NOT_OF_THE_RUN, "out")
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in left}


def _listed(value: Any) -> Iterable[Any]:
    if isinstance(value, str):
        return [part for part in value.split(",") if part.strip()]
    if isinstance(value, int):
        return [value]
    return list(value)
