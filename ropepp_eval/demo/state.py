"""The state of an unfinished training on disk: safetensors and JSON, replaced at once, never half of one."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropepp_eval.files import write_atomically
from ropepp_eval.hashing import hash_json
from ropepp_eval.runs.provenance import versions

if TYPE_CHECKING:
    from ropepp_eval.demo.training import Training

FILE = "state.safetensors"


@dataclass
class Progress:
    """How far a training is."""

    losses: list[float] = field(default_factory=list)
    """Weighted mean loss of each step so far."""
    answer_losses: list[float] = field(default_factory=list)
    """Mean loss over answer tokens alone."""
    tokens: int = 0
    data_sha256: str = ""
    """Chained over the batches read."""
    seconds: float = 0.0

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.losses)


def save_state(training: Training, folder: Path) -> None:
    """Write weights, optimisers and progress as one file."""
    from safetensors.torch import save

    tensors = {f"weight/{name}": tensor for name, tensor in training.model.state_dict().items() if name != "lm_head.weight"}
    tensors |= {
        f"moment/{kind}/{number}/{name}": tensor
        for kind, optimiser in enumerate(training.optimisers)
        for number, moments in optimiser.state_dict()["state"].items()
        for name, tensor in moments.items()
    }
    about = {"identity": _identity(training), "progress": json.dumps(dataclasses.asdict(training.progress))}
    write_atomically(folder / FILE, save({k: v.detach().cpu().clone() for k, v in tensors.items()}, metadata=about))


def load_state(training: Training, folder: Path) -> bool:
    """Take over the state in `folder`; False where there is none, or one of other settings or versions, or a broken one."""
    from safetensors import SafetensorError, safe_open

    if not (folder / FILE).is_file():
        return False
    try:
        with safe_open(folder / FILE, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError:
        return False
    if about.get("identity") != _identity(training):
        return False
    training.model.load_state_dict(_part(tensors, "weight"), strict=False)
    for kind, optimiser in enumerate(training.optimisers):
        moments: dict[int, dict[str, Any]] = {}
        for key, tensor in _part(tensors, f"moment/{kind}").items():
            number, _, name = key.partition("/")
            moments.setdefault(int(number), {})[name] = tensor
        optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    training.progress = Progress(**json.loads(about["progress"]))
    return True


def remove_state(folder: Path) -> None:
    """Remove the folder of a finished training."""
    shutil.rmtree(folder, ignore_errors=True)


def _part(tensors: dict[str, Any], name: str) -> dict[str, Any]:
    return {key.removeprefix(f"{name}/"): tensor for key, tensor in tensors.items() if key.startswith(f"{name}/")}


def _identity(training: Training) -> str:
    """Hash of all that the rest of the curve depends on."""
    return hash_json(
        {
            "settings": dataclasses.asdict(training.settings),
            "tokenizer": training.tokenizer.sha256,
            "versions": versions(),
            "device": training.device.type,
        }
    )
