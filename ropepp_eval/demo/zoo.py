"""Training demo models into folders, and checking a trained one against its card."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ropepp_eval.demo.card import WEIGHTS, read_card, write_checkpoint
from ropepp_eval.demo.training import Settings, first_losses, forget, train
from ropepp_eval.errors import Interrupted, UserError
from ropepp_eval.hashing import hash_file
from ropepp_eval.inert import inert
from ropepp_eval.paths import resource_dir
from ropepp_eval.tokens.tokenizer import Tokenizer, load_tokenizer

CHECK_STEPS = 20
TOLERANCE = 0.02
"""Largest difference of a step's loss that a check allows, in nats: other machines and compilers round otherwise, and within the
first steps that has not grown yet. Another seed's or recipe's losses differ by more."""
NEEDED_BYTES = 64 * 2**20
"""Room for a training's state, the copy that replaces it, and the checkpoint."""


def demo_tokenizer() -> Tokenizer:
    """The tokenizer that all demo models share."""
    return load_tokenizer(str(resource_dir("models") / "tokenizer"))


def train_models(trainings: Sequence[Settings], out: Path, say: Callable[[str], None] = print) -> list[Path]:
    """Train one model after the other into `out/<position>`, each folder written at once when its model is done.

    Raises:
        UserError: a target exists, or there is no space.
        Interrupted: Ctrl-C; the same command goes on from the last saved step.
    """
    targets = [out / settings.position for settings in trainings]
    for target in targets:
        if target.exists():
            raise UserError(f"train-demo target {str(target)!r} exists; name another folder with --out, or remove it first")
    _make_room(out)
    for settings, target in zip(trainings, targets, strict=True):
        say(f"{settings.position}: {settings.steps} steps, seed {settings.seed}, into {target}")
        _train_into(settings, target, say)
    return targets


def _make_room(out: Path) -> None:
    """The folder, with space for what will be written."""
    out.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out).free
    if free < NEEDED_BYTES:
        raise UserError(
            f"--out {str(out)!r} has {free / 2**20:.0f} MiB of free space and training needs {NEEDED_BYTES / 2**20:.0f} MiB; "
            "free some or name another folder"
        )


def _train_into(settings: Settings, target: Path, say: Callable[[str], None]) -> None:
    scratch = target.with_name(f".{target.name}.training")
    scratch.mkdir(exist_ok=True)
    try:
        training = train(settings, demo_tokenizer(), scratch, say)
        written = scratch / target.name
        shutil.rmtree(written, ignore_errors=True)
        write_checkpoint(training, written)
        written.rename(target)
    except KeyboardInterrupt as error:
        raise Interrupted(f"the same command goes on from the last saved step in {scratch}") from error
    forget(scratch)
    say(f"{settings.position}: {training.progress.seconds:.0f} s, written to {target}")


@dataclass(frozen=True)
class Check:
    """What comparing a demo model with its card found."""

    steps: int
    largest_difference: float
    """Of the losses of these steps, in nats."""
    weights_as_carded: bool
    tokenizer_as_carded: bool

    @property
    def passed(self) -> bool:
        """Whether the model is the card's and its training begins as the card says."""
        return self.weights_as_carded and self.tokenizer_as_carded and self.largest_difference <= TOLERANCE


def check_model(folder: Path, steps: int = CHECK_STEPS) -> Check:
    """Train the first steps anew by the card's settings and compare the losses; hash the weights.

    Raises:
        UserError: the folder holds no card, or a damaged one.
    """
    card = read_card(folder)
    if not (folder / WEIGHTS).is_file():
        raise UserError(f"{folder} holds no {WEIGHTS}; restore it, or train the model again: {inert(card.command)}")
    settings, tokenizer = Settings(**{**card.settings.model_dump(), "compiled": False}), demo_tokenizer()
    steps = min(steps, settings.steps)
    losses = first_losses(settings, tokenizer, steps)
    differences = [abs(now - then) for now, then in zip(losses, card.losses, strict=False)]
    return Check(
        steps=steps,
        largest_difference=max(differences),
        weights_as_carded=hash_file(folder / WEIGHTS) == card.weights_sha256,
        tokenizer_as_carded=tokenizer.vocabulary_sha256 == card.tokenizer_sha256,
    )
