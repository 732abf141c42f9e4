"""The exact road for models whose cache can't be cut back, or of which nobody has tested it: every prompt whole, alone, and by
nothing but the class's own forward pass and transformers' own `generate`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ropepp_eval.adapters.encoding import Job
from ropepp_eval.adapters.laps import Laps
from ropepp_eval.adapters.ledger import Generated, written
from ropepp_eval.adapters.memory import free_memory, memory_failure, out_of_memory
from ropepp_eval.adapters.native.forward import Forward
from ropepp_eval.adapters.native.nonfinite import failure_of
from ropepp_eval.adapters.writer import Writer


class WholeForward(Forward):
    """A model that reads one whole text at a time, from its beginning."""

    whole = True

    def __init__(self, model: Any) -> None:
        super().__init__(model, 1 << 40)
        self.packs = False
        self._rotary = [(module, _numbers(module), dict(module._buffers)) for module in model.modules() if _changes(module)]

    def hidden(self, ids: Tensor, **_: Any) -> Tensor:
        """Final hidden states [1, T, hidden] of ids [1, T], as the class alone computes them."""
        self.forget()
        hidden: Tensor = self.decoder(input_ids=ids, use_cache=False)[0]
        return hidden

    def forget(self) -> None:
        """Make rotary modules what they were when the model was loaded: `dynamic` rope keeps the angles of the longest text it has
        seen, so that an answer would depend on the texts before it."""
        for module, numbers, buffers in self._rotary:
            module.__dict__.update(numbers)
            module._buffers.clear()
            module._buffers.update(buffers)


def _changes(module: Any) -> bool:
    return any(name.endswith("original_inv_freq") for name in (*vars(module), *module._buffers))


def _numbers(module: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if isinstance(value, int | float | Tensor)}


@dataclass(eq=False)
class WholeGenerator:
    """Greedy decoding through transformers' own `generate`, one prompt at a time."""

    forward: WholeForward
    tokenizer: Any
    end_ids: frozenset[int]
    events: list[str]
    laps: Laps

    def run(self, jobs: Sequence[Job]) -> Iterator[Generated]:
        """Finished rows, long ones first. A row that fails says so; the others go on."""
        for job in sorted(jobs, key=lambda job: -job.capacity):
            done = None
            try:
                done = self._write(job)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            if done is None:  # outside the handler: there the error's frames would keep the tensors alive
                free_memory()
                self.events.append(
                    f"out of memory with {job.capacity} tokens, which this model reads whole; that request failed"
                )
                done = Generated(job, None, 0, None, self.laps.end(), memory_failure(job.capacity, len(job.prompt)))
            yield done

    @torch.inference_mode()
    def _write(self, job: Job) -> Generated:
        from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

        watch = _Watch(Writer.of(job, self.tokenizer, self.end_ids))
        self.forward.forget()
        ids = self.forward.tensor([job.prompt])
        self.forward.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            generation_config=GenerationConfig(
                max_new_tokens=job.budget, do_sample=False, num_beams=1, use_cache=True, pad_token_id=0
            ),
            logits_processor=LogitsProcessorList([watch.look]),
            stopping_criteria=StoppingCriteriaList([watch.take]),
        )
        seconds = self.laps.end()
        if not watch.finite:
            return Generated(job, None, 0, None, seconds, failure_of(self.forward, job.prompt, watch.writer.ids))
        return written(job, watch.writer, seconds)


@dataclass(eq=False)
class _Watch:
    """What stands in `generate`: it looks at the logits before a token is chosen, and takes each token as it comes."""

    writer: Writer
    finite: bool = field(default=True)

    def look(self, _: Tensor, scores: Tensor) -> Tensor:
        self.finite = self.finite and bool(torch.isfinite(scores.max()))
        return scores

    def take(self, ids: Tensor, _: Any, **__: Any) -> Tensor:
        done = not self.finite or self.writer.add(int(ids[0, -1]))
        return torch.full((1,), done, dtype=torch.bool, device=ids.device)
