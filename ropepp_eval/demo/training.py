"""The training loop: one position embedding, one thread, the same curve each time; it goes on where it was interrupted."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ropepp_eval.demo import recipe
from ropepp_eval.demo.curriculum import Batch, make_batch, stage_of
from ropepp_eval.demo.document import ANSWER
from ropepp_eval.demo.state import Progress, load_state, remove_state, save_state
from ropepp_eval.errors import UserError
from ropepp_eval.tokens.tokenizer import Tokenizer

SAVE_EVERY = 100
"""Steps between two states on disk, of which the last is kept."""
SAY_EVERY = 50


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides a training, and so its curve."""

    position: str
    steps: int = recipe.STEPS
    seed: int = recipe.SEED
    threads: int = 1
    compiled: bool = True
    """By torch.compile, which halves the time and rounds otherwise than without it."""
    shape: dict[str, Any] = field(default_factory=lambda: dict(recipe.SHAPE))

    def __post_init__(self) -> None:
        from ropepp_eval.positions import get_position

        get_position(self.position)
        for name in ("steps", "threads"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} {getattr(self, name)} trains nothing; give 1 or more")


def can_compile() -> bool:
    """Whether torch.compile finds the C++ compiler that it needs for CPU code."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++"))


class Training:
    """A model, its optimisers, and how far they are."""

    def __init__(self, settings: Settings, tokenizer: Tokenizer) -> None:
        import torch

        torch.set_num_threads(settings.threads)
        self.settings = settings
        self.tokenizer = tokenizer
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        vocabulary = tokenizer.fast.backend_tokenizer.get_vocab_size()
        self.model = recipe.new_model(settings.position, vocabulary, settings.seed, settings.shape).to(self.device)
        self.optimisers = recipe.optimisers_of(self.model)
        self.progress = Progress()
        self._losses = torch.compile(self._eager_losses, dynamic=False) if settings.compiled else self._eager_losses

    def step(self) -> None:
        """Read one batch, correct the weights, note the losses."""
        import torch

        began, done = time.monotonic(), self.progress.step
        batch = make_batch(self.tokenizer, stage_of(done, self.settings.steps), self.settings.seed, done)
        recipe.set_rates(self.optimisers, recipe.rate_share(done, self.settings.steps))
        tokens = torch.tensor(batch.tokens, device=self.device)
        weights = torch.tensor(batch.weights, device=self.device)
        loss, answer_loss = self._losses(tokens, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), recipe.GRADIENT_NORM)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.progress.losses.append(round(loss.item(), 6))
        self.progress.answer_losses.append(round(answer_loss.item(), 6))
        self.progress.tokens += tokens.shape[0] * (tokens.shape[1] - 1)
        self.progress.data_sha256 = _chained(self.progress.data_sha256, batch)
        self.progress.seconds += time.monotonic() - began

    def _eager_losses(self, tokens: Any, weights: Any) -> tuple[Any, Any]:
        """The weighted mean loss over tokens [rows, length + 1], and the mean over answers alone."""
        from torch.nn.functional import cross_entropy, linear

        hidden = self.model.model(input_ids=tokens[:, :-1]).last_hidden_state
        logits = linear(hidden, self.model.lm_head.weight)
        losses = cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten(), reduction="none")
        counts = weights[:, 1:].flatten()
        answers = (counts >= ANSWER).float()
        return (losses * counts).sum() / counts.sum(), (losses * answers).sum() / answers.sum().clamp(min=1)


def train(settings: Settings, tokenizer: Tokenizer, scratch: Path, say: Callable[[str], None] = print) -> Training:
    """Train to the end, keeping the state in the folder `scratch`; a state there of the same settings is gone on from.

    Raises:
        UserError: the state can't be written for want of space.
    """
    training = Training(settings, tokenizer)
    if load_state(training, scratch):
        say(f"  {settings.position}: goes on after step {training.progress.step}")
    while training.progress.step < settings.steps:
        training.step()
        done = training.progress.step
        if done % SAY_EVERY == 0 or done == settings.steps:
            say(f"  {settings.position}: {_line(training)}")
        if done % SAVE_EVERY == 0 and done < settings.steps:
            save_state(training, scratch)
    return training


def first_losses(settings: Settings, tokenizer: Tokenizer, steps: int) -> list[float]:
    """The losses of the first steps of a training, which is then dropped."""
    training = Training(settings, tokenizer)
    for _ in range(steps):
        training.step()
    return training.progress.losses


def forget(scratch: Path) -> None:
    """Remove the state of a training that is done."""
    remove_state(scratch)


def _line(training: Training) -> str:
    progress, last = training.progress, slice(-SAY_EVERY, None)
    losses, answers = progress.losses[last], progress.answer_losses[last]
    return (
        f"step {progress.step}/{training.settings.steps}, loss {sum(losses) / len(losses):.3f}, "
        f"on answers {sum(answers) / len(answers):.3f}, {progress.tokens / max(progress.seconds, 1e-9):,.0f} tokens/s"
    )


def _chained(before: str, batch: Batch) -> str:
    """sha256 of the hash before and this batch, so that a resumed training ends at the same value."""
    content = hashlib.sha256(before.encode())
    for tokens, weights in zip(batch.tokens, batch.weights, strict=True):
        content.update(array("i", tokens).tobytes() + array("f", weights).tobytes())
    return content.hexdigest()
