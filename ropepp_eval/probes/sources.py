"""Checkpoints, and shapes with random weights, as probes without rows take them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ropepp_eval.checkpoints.cards import list_cards
from ropepp_eval.checkpoints.inspection import CheckpointInfo, inspect_checkpoint
from ropepp_eval.checkpoints.loading import load_checkpoint, parse_dtype, resolved_device
from ropepp_eval.checkpoints.reading import read_checkpoint
from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.hashing import hash_json
from ropepp_eval.modeling.configuration import RopePPConfig
from ropepp_eval.positions import parse_position
from ropepp_eval.positions.registry import parse_position_settings, with_settings
from ropepp_eval.probes.execute import engine_of
from ropepp_eval.probes.heads import facts_of_checkpoint
from ropepp_eval.probes.plan import Source

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


def cost_sources(checkpoints: Sequence[str], position: str | None, dtype: str, device: str) -> list[PlacedSource]:
    """What `cost` measures: checkpoints, loaded when their turn comes."""
    sources = []
    for name in checkpoints:
        info = inspect_checkpoint(name, position=position)
        computed = _engine(str(parse_dtype(dtype, info.dtype)), device) | {"checkpoint": info.sha256, "position": info.label}
        sources.append(
            (
                Source(info.name, info.facts, computed, _loader(info, position, dtype, device), named=name),
                info.sha256,
                info.label,
            )
        )
    return distinct(sources)


def shape_sources(shape: str, positions: Sequence[str], dtype: str, device: str) -> list[PlacedSource]:
    """What `cost` measures of a card's shape: random weights under each position embedding."""
    fields = card_shape(shape)
    wanted = parse_dtype("bfloat16" if dtype == "auto" else dtype, "bfloat16")
    sources = []
    for written in positions:
        config = shape_config(fields, written)
        sha256 = hash_json({"shape": fields, "position": written})
        computed = _engine(str(wanted), device) | {"checkpoint": sha256, "position": written}
        facts = {"position": written, "note": f"random weights in the shape of {shape}"}
        sources.append(
            (Source(f"{written}-{shape}", facts, computed, _maker(config, wanted, device), named=shape), sha256, written)
        )
    return distinct(sources)


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


def _engine(dtype: str, device: str) -> dict[str, Any]:
    import torch

    return {
        "engine": "native", "engine_version": torch.__version__, "dtype": dtype.removeprefix("torch."), "device": resolved_device(device),
        "threads": torch.get_num_threads(),
    }  # fmt: skip


def _giver(subject: Any) -> Any:
    return lambda: subject


def _loader(info: CheckpointInfo, position: str | None, dtype: str, device: str) -> Any:
    return lambda: engine_of(
        load_checkpoint(Path(info.folder), position=position, dtype=dtype, device=resolved_device(device))
    )


def _maker(config: RopePPConfig, dtype: Any, device: str) -> Any:
    def make() -> Any:
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
        return engine_of(model.to(resolved_device(device)))

    return make
