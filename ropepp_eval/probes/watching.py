"""Looking at a model while it reads, without changing what it computes: hooks that see each layer's queries and keys.

B batch (always 1 here), H attention heads, K key/value heads, Q queries of a call, L tokens read so far, D head size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ropepp_eval.adapters.native.cache import StackView
from ropepp_eval.errors import UserError
from ropepp_eval.modeling.model import RopePPAttention


@dataclass(frozen=True)
class Seen:
    """What one call of a layer's attention works on."""

    module: RopePPAttention
    layer: int
    hidden: Tensor
    """[Q, hidden] that the projections read."""
    query: Tensor
    """[H, Q, D] as they meet in attention."""
    key: Tensor
    """[K, L, D], of all tokens so far."""
    first: int
    """Tokens before these queries."""

    def bias(self, distance: Tensor) -> Tensor | None:
        """float32 [H, ...] that scores get at distances [...]; None where they get none."""
        if not self.module.position.biased:
            return None
        return self.module.position.bias_of(distance, self.module.stored_tensors(), self.module.heads)


def attention_layers(model: Any) -> list[RopePPAttention]:
    """The attention of each layer.

    Raises:
        UserError: the model runs through a class of transformers' own, whose queries are not known here.
    """
    layers = [module for module in model.modules() if isinstance(module, RopePPAttention)]
    if not layers:
        raise UserError(
            f"model of class {type(model).__name__}: probes of heads look into the position embeddings of this package; load a "
            "checkpoint that `ropepp-eval inspect` shows with one of them, or ask for cost or extrapolation"
        )
    return layers


@contextmanager
def watching(model: Any, look: Callable[[Seen], None], layers: Sequence[int] | None = None) -> Iterator[None]:
    """Call `look` behind every call of the attention of `layers` (None: of all); the hooks are gone afterwards, whatever happened."""

    def hook(module: Any, _: Any, given: dict[str, Any], output: Any) -> None:
        view, hidden = given["past_key_values"], given["hidden_states"]
        query, key = module.encoded(hidden, given["position_embeddings"], given.get("position_ids"))
        keys = view.store.keys[module.layer_idx][view.first, :, : view.length + key.shape[2]]
        look(Seen(module, module.layer_idx, hidden[0], query[0], keys, view.length))

    handles: list[Any] = []
    try:
        for module in attention_layers(model):
            if layers is None or module.layer_idx in layers:
                handles.append(module.register_forward_hook(hook, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def empty_view(lm: Any, tokens: int) -> StackView:
    """A cache for one text of so many tokens."""
    return StackView(lm.forward.new_store(1, tokens))


@torch.inference_mode()
def read_watched(
    lm: Any,
    ids: Sequence[int],
    look: Callable[[Seen], None],
    layers: Sequence[int] | None = None,
    view: StackView | None = None,
) -> None:
    """Let the model of a `NativeLM` read `ids` in chunks, as it reads any long prompt, while `look` sees each layer.

    `view` is a cache that holds the first of them already; without one all are read.
    """
    view = empty_view(lm, len(ids)) if view is None else view
    with watching(lm.model, look, layers):
        lm.forward.extend(view, np.asarray(ids[view.length :], dtype=np.int64))
