"""Where a model stops being finite: the first layer and position whose hidden state is NaN or infinite."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ropepp_eval.adapters.answers import Failure
from ropepp_eval.adapters.native.cache import StackView
from ropepp_eval.adapters.native.forward import Forward
from ropepp_eval.adapters.windows import Ids

HEAD_NOT_FINITE = Failure("model", "NonFinite", "a logit of the output head is not finite, though all hidden states are")
NOT_LOCATED = Failure("model", "NonFinite", "a logit is not finite; memory ran out while its first layer was looked for")


@torch.inference_mode()
def locate_non_finite(forward: Forward, ids: Ids) -> Failure | None:
    """Run `ids` by themselves and look at every layer's output; None where all of it is finite."""
    found: dict[int, int] = {}

    def watch(number: int) -> Any:
        def hook(_: Any, __: Any, output: Tensor | tuple[Tensor, ...]) -> None:
            states = output[0] if isinstance(output, tuple) else output
            wrong = (~torch.isfinite(states[0]).all(-1)).nonzero()
            if len(wrong) and number not in found:
                found[number] = view.length + int(wrong[0])  # it counts the chunks before this one

        return hook

    parts = [forward.decoder.embed_tokens, *forward.decoder.layers, forward.decoder.norm]
    view = StackView(forward.new_store(1, len(ids)))
    handles = [part.register_forward_hook(watch(number)) for number, part in enumerate(parts)]
    try:
        forward.extend(view, ids)
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        return None
    number = min(found)
    names = {0: "the token embedding", len(parts) - 1: "the final norm"}
    where = names.get(number, f"layer {number - 1}")
    return Failure("model", "NonFinite", f"a hidden state is not finite, first after {where} at position {found[number]}")
