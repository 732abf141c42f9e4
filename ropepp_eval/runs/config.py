"""What a run is asked to do, with every default resolved in one place."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.lengths import parse_length
from ropepp_eval.rows.building import DEFAULT_SAMPLES, DEFAULT_SEED, PROTOCOLS
from ropepp_eval.rows.catalogue import resolve_tasks


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
    tokenizer: str | None = None
    """Folder or hub id; None takes the checkpoint's own."""
    allow_beyond_trained_length: bool = False
    """Allow cells past `max_position_embeddings`: the way to test extrapolation."""
    backend: str = "native"
    adapter_options: tuple[tuple[str, Any], ...] = ()
    """Further settings of the adapter, such as (("chunk_tokens", 8192),)."""
    quiet: bool = False
    grouped: tuple[str, ...] = ()
    """The tasks that no one named, only a group: left out at a length that does not hold them."""

    @classmethod
    def of(cls, *checkpoints: Any, **settings: Any) -> RunConfig:
        """A config from loosely typed values (Python API and command line share it).

        Raises:
            UserError: an unknown setting or task, a bad length, samples below 1, no checkpoint.
        """
        known = [field.name for field in dataclasses.fields(cls) if field.name not in ("checkpoints", "grouped")]
        for name in settings:
            if name not in known:
                raise unknown_name("setting", name, known, "see ropepp_eval.evaluate")
        if not checkpoints:
            raise UserError("no checkpoint was named; give a folder or a hub id, such as models/demo/rope")
        values = dict(settings)
        named = [part.strip() for item in _listed(settings.get("tasks", ())) for part in item.split(",")]
        values["tasks"] = tuple(entry.name for entry in resolve_tasks(named))
        values["grouped"] = tuple(task for task in values["tasks"] if task not in named)
        values["lengths"] = tuple(sorted({parse_length(length) for length in _listed(settings.get("lengths", ()))}))
        if not values["lengths"]:
            raise UserError("no context length was named; give --lengths, such as --lengths 2k,4k,8k")
        for name in ("data_dir", "out", "tokenizer"):
            values[name] = None if values.get(name) is None else os.path.expanduser(os.fspath(values[name]))
        options = values.get("adapter_options", ())
        values["adapter_options"] = tuple(sorted(options.items() if isinstance(options, dict) else options))
        config = cls(checkpoints=tuple(dict.fromkeys(os.path.expanduser(os.fspath(c)) for c in checkpoints)), **values)
        config.check()
        return config

    def check(self) -> None:
        """Raise UserError for values that can be judged without looking at any file."""
        if self.samples < 1:
            raise UserError(f"samples {self.samples} is below 1; ask for at least one row a cell, such as --samples 10")
        if self.protocol not in PROTOCOLS:
            raise UserError(f"protocol {self.protocol!r} is not known; it may be {' or '.join(PROTOCOLS)}")
        if self.backend not in ("native", "vllm"):
            raise UserError(f"backend {self.backend!r} is not known; it may be native or vllm")


def _listed(value: Any) -> Iterable[Any]:
    if isinstance(value, str):
        return [part for part in value.split(",") if part.strip()]
    if isinstance(value, int):
        return [value]
    return list(value)
