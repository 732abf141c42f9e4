"""What a demo model says about itself: `card.json` and a picture of its loss, beside the weights."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field

from ropepp_eval.demo import recipe
from ropepp_eval.errors import UserError
from ropepp_eval.files import write_atomically, write_json
from ropepp_eval.hashing import hash_file
from ropepp_eval.outside import Items, Outside, read_json
from ropepp_eval.runs.provenance import versions

if TYPE_CHECKING:
    from ropepp_eval.demo.training import Settings, Training

CARD, PICTURE, WEIGHTS = "card.json", "loss.png", "model.safetensors"
NOTE = "tiny model trained on generated text: it shows the tool, not the paper's claim"
FINAL_STEPS = 50
"""The final loss is the mean over so many last steps: a single batch's loss is mostly luck."""
_SMOOTHING_STEPS = 20


def write_checkpoint(training: Training, folder: Path) -> None:
    """Weights in bfloat16, config, tokenizer, card and picture, into an existing or new folder."""
    import torch

    training.model.eval().to("cpu", torch.bfloat16).save_pretrained(folder)
    training.tokenizer.fast.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write_json(folder / "config.json", {**config, "note": NOTE})
    write_json(folder / CARD, _card(training, folder))
    write_atomically(folder / PICTURE, _picture(training))


class _Settings(Outside):
    """`training.Settings`: what the same training needs."""

    model_config = ConfigDict(extra="forbid")
    position: str
    steps: Annotated[int, Field(gt=0)]
    seed: int
    threads: Annotated[int, Field(gt=0, le=1024)]
    compiled: bool
    shape: dict[str, Annotated[int, Field(gt=0, le=1 << 16)]]


class CardFile(Outside):
    """What is read of `card.json`."""

    command: str = ""
    settings: _Settings
    losses: Annotated[Items[float], Field(min_length=1)]
    weights_sha256: str
    tokenizer_sha256: str


def read_card(folder: Path) -> CardFile:
    """The card in `folder`.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = folder / CARD
    if not path.is_file():
        raise UserError(
            f"{folder} holds no {CARD}; name a folder that `ropepp-eval train-demo` wrote, such as models/demo/rope"
        )
    return read_json(path, CardFile, advice="restore it, or train the model again")


def command_of(settings: Settings) -> str:
    """The command that trains this model again."""
    plain = "" if settings.compiled else " --no-compile"
    return (
        f"ropepp-eval train-demo {settings.position} --out models/demo --steps {settings.steps} --seed {settings.seed} "
        f"--threads {settings.threads}{plain}"
    )


def _card(training: Training, folder: Path) -> dict[str, Any]:
    progress, settings = training.progress, training.settings
    last = slice(-FINAL_STEPS, None)
    return {
        "command": command_of(settings),
        "note": NOTE,
        "position": settings.position,
        "settings": dataclasses.asdict(settings),
        "optimiser": {
            "matrices": {"name": "Muon", "peak_learning_rate": recipe.MATRIX_LEARNING_RATE, "momentum": recipe.MOMENTUM},
            "others": {"name": "AdamW", "peak_learning_rate": recipe.OTHER_LEARNING_RATE, "betas": list(recipe.BETAS)},
            "warm_up_steps": recipe.WARM_UP_STEPS,
            "gradient_norm": recipe.GRADIENT_NORM,
        },
        "parameters": sum(parameter.numel() for parameter in training.model.parameters()),
        "tokens_seen": progress.tokens,
        "seconds": round(progress.seconds, 1),
        "device": training.device.type,
        "final_loss": _mean(progress.losses[last]),
        "final_answer_loss": _mean(progress.answer_losses[last]),
        "weights_sha256": hash_file(folder / WEIGHTS),
        "data_sha256": progress.data_sha256,
        "tokenizer_sha256": training.tokenizer.vocabulary_sha256,
        "versions": versions(),
        "losses": progress.losses,
        "answer_losses": progress.answer_losses,
    }


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 6)


def _picture(training: Training) -> bytes:
    """Both losses by step, each smoothed over a few steps."""
    import io

    from ropepp_eval.reports.style import new_figure

    figure, [[axes]] = new_figure(4.5, 2.6)
    for values, label, colour in (
        (training.progress.losses, "all tokens, weighted", "#000000"),
        (training.progress.answer_losses, "answers", "#0072B2"),
    ):
        size = min(_SMOOTHING_STEPS, len(values))
        ends = range(size, len(values) + 1)
        axes.plot(
            list(ends), [sum(values[end - size : end]) / size for end in ends], label=label, color=colour, linewidth=1.2
        )
    axes.set(xlabel="step", ylabel="loss (nats a token)", title=training.settings.position, ylim=(0, None))
    axes.legend()
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=80, metadata={"Software": None})
    return content.getvalue()
