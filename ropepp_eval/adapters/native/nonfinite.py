"""Where a model stops being finite: the first layer and position whose hidden state is NaN or infinite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ropepp_eval.adapters.answers import Failure
from ropepp_eval.adapters.memory import out_of_memory
from ropepp_eval.adapters.native.cache import StackView
from ropepp_eval.adapters.native.forward import Forward
from ropepp_eval.adapters.windows import Ids

HEAD_NOT_FINITE = Failure("model", "NonFinite", "a logit of the output head is not finite, though all hidden states are")
NOT_LOCATED = Failure("model", "NonFinite", "a logit is not finite; memory ran out while its first layer was looked for")


def failure_of(forward: Forward, prompt: Ids, written: Sequence[int]) -> Failure:
    """Where a row that gave a logit that is not finite stops being so."""
    ids = np.concatenate([prompt, np.array(written, dtype=np.int32)])
    try:
        return locate_non_finite(forward, ids) or HEAD_NOT_FINITE
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return NOT_LOCATED  # the rows that were finished in the same step must not be lost


@torch.inference_mode()
def locate_non_finite(forward: Forward, ids: Ids) -> Failure | None:
    """Run `ids` by themselves and look at every layer's output; None where all of it is finite."""
    found: dict[int, int] = {}
    view = None if forward.whole else StackView(forward.new_store(1, len(ids)))

    def watch(number: int) -> Any:
        def hook(_: Any, __: Any, output: Any) -> None:
            states = output if isinstance(output, Tensor) else output[0]
            wrong = (~torch.isfinite(states[0]).all(-1)).nonzero()
            if len(wrong) and number not in found:
                before = 0 if view is None else view.length  # it counts the chunks before this one
                found[number] = before + int(wrong[0])

        return hook

    parts = [forward.model.get_input_embeddings(), *layers_of(forward), forward.decoder]
    handles = [part.register_forward_hook(watch(number)) for number, part in enumerate(parts)]
    try:
        if view is None:
            forward.hidden(forward.tensor([ids]))
        else:
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


def layers_of(forward: Forward) -> list[nn.Module]:
    """The decoder's layers, in order: the list of modules that is as long as the config says."""
    lists = (module for module in forward.decoder.modules() if isinstance(module, nn.ModuleList))
    return list(next((found for found in lists if len(found) == forward.layers), []))
