"""Checkpoints, and shapes with random weights, as probes without rows take them."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ropepp_eval.checkpoints.architectures import quiet_loading
from ropepp_eval.checkpoints.cards import list_cards
from ropepp_eval.checkpoints.inspection import describe, inspect_checkpoint
from ropepp_eval.checkpoints.loading import load_read, parse_dtype, resolved_device
from ropepp_eval.checkpoints.reading import ReadCheckpoint, read_checkpoint
from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.hashing import hash_json
from ropepp_eval.modeling.configuration import RopePPConfig
from ropepp_eval.positions import parse_position
from ropepp_eval.positions.registry import parse_position_settings, with_settings
from ropepp_eval.probes.cost import VLLM_MARK
from ropepp_eval.probes.execute import engine_of
from ropepp_eval.probes.heads import facts_of_checkpoint
from ropepp_eval.probes.plan import Source
from ropepp_eval.runs.config import BACKENDS

PlacedSource = tuple[Source, str, str]
"""A source with the hash and the position embedding that its records hold."""


def coverage_sources(checkpoints: Sequence[str], position: str | None) -> list[PlacedSource]:
    """What `coverage` measures: (position embedding, head size, trained length). No weights are loaded."""
    sources = []
    for name in checkpoints:
        read = read_checkpoint(name, position)
        info = inspect_checkpoint(name, position=position)
        facts_of_checkpoint(info)
        subject = (read.config.position_embedding, info.head_dim, info.max_position_embeddings)
        computed = {"checkpoint": info.sha256, "position": info.label}
        sources.append((Source(info.name, info.facts, computed, _giver(subject), named=name), info.sha256, info.label))
    return distinct(sources)


@dataclass(frozen=True)
class Decoding:
    """How `cost` decodes; an engine, and where and how it runs."""

    backend: str = "native"
    dtype: str = "auto"
    device: str = "auto"
    log_folder: Path = Path()
    """Where vLLM's engine writes what it says."""
    enforce_eager: bool = False
    """vLLM's: no compilation."""

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise UserError(f"backend {self.backend!r} is not known; it may be {' or '.join(BACKENDS)}")

    def label(self, name: str) -> str:
        """What tables call a checkpoint that is decoded so."""
        return name + (VLLM_MARK if self.backend == "vllm" else "")

    def computed(self, dtype: str) -> dict[str, Any]:
        """What of this decides numbers. Raises UserError where the engine can't run here."""
        if self.backend == "native":
            import torch

            version, threads = torch.__version__, torch.get_num_threads()
            return {
                "engine": "native",
                "engine_version": version,
                "dtype": dtype,
                "device": resolved_device(self.device),
                "threads": threads,
            }
        from ropepp_eval.adapters.vllm.arguments import platform_of
        from ropepp_eval.adapters.vllm.engine import require_vllm, vllm_version

        require_vllm()
        threads_bind = os.environ.get("VLLM_CPU_OMP_THREADS_BIND", "auto")
        return {
            "engine": "vllm", "engine_version": vllm_version(), "dtype": dtype, "device": platform_of(self.device),
            "enforce_eager": self.enforce_eager, "threads_bind": threads_bind,
        }  # fmt: skip

    def of_checkpoint(self, read: ReadCheckpoint, position: str | None, computed: dict[str, Any]) -> Any:
        """What `Cost` measures by, as it is made when its turn comes. Raises UserError where vLLM has no such model."""
        if self.backend == "native":
            return lambda: native(load_read(read, dtype=self.dtype, device=computed["device"]))
        from ropepp_eval.adapters.vllm.arguments import check_architecture

        check_architecture(read)
        return _giver(self._vllm(read, position, computed))

    def of_shape(self, make: Callable[[], Any], computed: dict[str, Any]) -> Any:
        """As `of_checkpoint`, of a model that `make` makes. vLLM reads it from a folder that lasts as long as what is given."""
        if self.backend == "native":
            return lambda: native(make().to(computed["device"]))

        def saved() -> Any:
            folder = tempfile.mkdtemp(prefix="ropepp-eval-shape-")
            with quiet_loading():
                make().save_pretrained(folder)
            subject = self._vllm(read_checkpoint(folder, None), None, computed)
            weakref.finalize(subject, shutil.rmtree, folder, ignore_errors=True)
            return subject

        return saved

    def _vllm(self, read: ReadCheckpoint, position: str | None, computed: dict[str, Any]) -> Any:
        from ropepp_eval.adapters.native.foresight import shapes_of_info
        from ropepp_eval.adapters.vllm.engine import LOG_NAME
        from ropepp_eval.probes.cost_vllm import VllmCost

        shapes, log_file = shapes_of_info(describe(read)), self.log_folder / LOG_NAME
        return VllmCost(read, shapes, position, computed["dtype"], computed["device"], log_file, self.enforce_eager)


def native(model: Any) -> Any:
    """What `Cost` measures by, of a loaded model."""
    from ropepp_eval.probes.cost_native import measured

    return partial(measured, engine_of(model))


def cost_sources(checkpoints: Sequence[str], position: str | None, how: Decoding) -> list[PlacedSource]:
    """What `cost` measures: checkpoints, loaded when their turn comes."""
    sources = []
    for name in checkpoints:
        read = read_checkpoint(name, position)
        info = describe(read)
        engine = how.computed(str(parse_dtype(how.dtype, info.dtype)).removeprefix("torch."))
        computed = engine | {"checkpoint": info.sha256, "position": info.label}
        subject = how.of_checkpoint(read, position, computed)
        source = Source(how.label(info.name), info.facts, computed, subject, named=name)
        sources.append((source, info.sha256, info.label))
    return sources


def shape_sources(shape: str, positions: Sequence[str], how: Decoding) -> list[PlacedSource]:
    """What `cost` measures of a card's shape: random weights under each position embedding."""
    fields = card_shape(shape)
    dtype = parse_dtype("bfloat16" if how.dtype == "auto" else how.dtype, "bfloat16")
    sources = []
    for written in positions:
        config = shape_config(fields, written)
        sha256 = hash_json({"shape": fields, "position": written})
        computed = how.computed(str(dtype).removeprefix("torch.")) | {"checkpoint": sha256, "position": written}
        facts = {"position": written, "note": f"random weights in the shape of {shape}"}
        subject = how.of_shape(partial(random_model, config, dtype), computed)
        sources.append((Source(how.label(f"{written}-{shape}"), facts, computed, subject, named=shape), sha256, written))
    return sources


def card_shape(shape: str) -> dict[str, int]:
    """Fields of the config of the published models of a size, such as `376M`, or of a card."""
    found = {
        size: card.shape for card in list_cards() for size in (card.name, *re.findall(r"(?<=-)[\d_]+[MB](?=-)", card.name))
    }
    if shape not in found:
        raise unknown_name("shape", shape, found, "a size such as 376M, or a card's name (`ropepp-eval models` lists them)")
    return dict(found[shape])


def shape_config(fields: dict[str, int], position: str) -> RopePPConfig:
    """A config of a shape with a position embedding written as `--position` takes it."""
    kind, scaling, _ = parse_position(position)
    embedding = with_settings(kind().stretched(scaling), parse_position_settings(position))
    return RopePPConfig(**fields, **embedding.to_hf(), position=kind.name, max_position_embeddings=4096)


def distinct(sources: list[PlacedSource]) -> list[PlacedSource]:
    """Raise UserError where two would have one name in tables."""
    labels = [source.label for source, _, _ in sources]
    for label in labels:
        if labels.count(label) > 1:
            raise UserError(f"two checkpoints are called {label}; name one of them, or folders whose last parts differ")
    return sources


def _giver(subject: Any) -> Any:
    return lambda: subject


def random_model(config: RopePPConfig, dtype: Any) -> Any:
    """A model with random weights, the same each time, on the CPU."""
    import torch

    from ropepp_eval.modeling import RopePPForCausalLM

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = RopePPForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)
    model.set_attn_implementation("sdpa")
    return model
