"""What is done to a model while a task is asked: noise on queries, or heads switched off or averaged. Undone afterwards, whatever happened.

B rows, T tokens, H attention heads, D head size.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ropepp_eval.probes.heads import HeadPlaces
from ropepp_eval.probes.watching import attention_layers, empty_view

WAYS = ("off", "mean")


@dataclass(frozen=True)
class Noise:
    """Gaussian noise on the encoded queries of a role's heads."""

    target: str
    deviation: float
    seed: int

    @property
    def label(self) -> str:
        return f"{self.target}{self.deviation:g}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @contextlib.contextmanager
    def applied(self, lm: Any, texts: Sequence[Sequence[int]]) -> Iterator[None]:
        config = lm.model.config
        before = config.noise_std, config.noise_target, config.noise_seed
        config.set_noise(self.deviation, self.target, self.seed)
        try:
            yield
        finally:
            config.set_noise(*before)


@dataclass(frozen=True)
class Ablation:
    """Some heads' outputs replaced, before the output projection adds them up."""

    target: str
    """What tables call the heads: `real`, `imaginary`, or the heads themselves."""
    heads: HeadPlaces
    way: str
    """`off`: zeros; `mean`: the head's own mean over the tokens of the first texts."""

    @property
    def label(self) -> str:
        return f"{self.target}-{self.way}" if self.target else "whole"

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"heads": [list(head) for head in self.heads]}

    @contextlib.contextmanager
    def applied(self, lm: Any, texts: Sequence[Sequence[int]]) -> Iterator[None]:
        places = by_layer(self.heads)
        means = head_means(lm, texts, places) if self.way == "mean" and places else {}
        with replaced(lm.model, places, means):
            yield


def by_layer(heads: HeadPlaces) -> dict[int, list[int]]:
    """Heads of each layer that has some."""
    found: dict[int, list[int]] = {}
    for layer, head in heads:
        found.setdefault(layer, []).append(head)
    return found


@contextlib.contextmanager
def replaced(model: Any, places: dict[int, list[int]], means: dict[int, Tensor]) -> Iterator[None]:
    """Give heads of layers the output `means[layer]` [heads, D] (0 where it lacks the layer) at every token. No head: no hook."""
    handles: list[Any] = []
    try:
        for module in attention_layers(model):
            own = places.get(module.layer_idx)
            if own:
                hook = _replacing(own, module.head_dim, means.get(module.layer_idx))
                handles.append(module.o_proj.register_forward_pre_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _replacing(heads: list[int], head_dim: int, mean: Tensor | None) -> Any:
    def hook(_: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        by_head = given[0].view(*given[0].shape[:-1], -1, head_dim).clone()
        by_head[..., heads, :] = 0 if mean is None else mean.to(by_head.dtype)
        return (by_head.flatten(-2), *given[1:])

    return hook


@torch.inference_mode()
def head_means(lm: Any, texts: Sequence[Sequence[int]], places: dict[int, list[int]]) -> dict[int, Tensor]:
    """float32 [heads, D] for each layer: mean output of its heads over all tokens of some texts."""
    sums: dict[int, Tensor] = {}
    handles = []

    def adding(layer: int, heads: list[int], head_dim: int) -> Any:
        def hook(_: Any, given: tuple[Tensor, ...]) -> None:
            own = given[0].view(*given[0].shape[:-1], -1, head_dim)[..., heads, :].float().sum((0, 1))
            sums[layer] = sums[layer] + own if layer in sums else own

        return hook

    try:
        for module in attention_layers(lm.model):
            if module.layer_idx in places:
                hook = adding(module.layer_idx, places[module.layer_idx], module.head_dim)
                handles.append(module.o_proj.register_forward_pre_hook(hook))
        for ids in texts:
            lm.forward.extend(empty_view(lm, len(ids)), np.asarray(ids, dtype=np.int64))
    finally:
        for handle in handles:
            handle.remove()
    return {layer: total / sum(map(len, texts)) for layer, total in sums.items()}
