"""From hidden states to logits, by the model's own class: with whatever it scales, caps or adds behind its output projection."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers.modeling_outputs import MoeModelOutputWithPast


@dataclass
class _Output(MoeModelOutputWithPast):  # type: ignore[misc]
    """What a decoder returns, with nothing but hidden states: classes look for different fields beside them."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


class _Given(nn.Module):
    """Stands where a causal language model has its decoder and hands it hidden states that were computed before."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: Tensor | None = None

    def forward(self, *_: Any, **__: Any) -> _Output:
        return _Output(last_hidden_state=self.hidden)


class Head:
    """A model's forward pass behind its decoder."""

    def __init__(self, model: Any) -> None:
        """A view of the model: its parameters are shared, and the model itself stays as it is."""
        self._given = _Given()
        self._model = copy.copy(model)
        self._model._modules = {**model._modules, model.base_model_prefix: self._given}
        self.vocabulary = int(model.get_output_embeddings().weight.shape[0])
        """Logits of a position."""

    def __call__(self, hidden: Tensor) -> Tensor:
        """Logits [N, vocabulary] of final hidden states [N, hidden]."""
        self._given.hidden = hidden[None]
        try:
            logits: Tensor = self._model(input_ids=None).logits[0]
        finally:
            self._given.hidden = None
        return logits
