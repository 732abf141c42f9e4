"""The published road, walked without the network: Table 2's command on random checkpoints under the published names.

A hub on loopback (tests/hub) serves RoPE, RoPE++_EH and RoPE++_EC of 376M with random bfloat16 weights in the authors' form, and their
gated tokenizer: Llama 3's, from the package index. `ropepp-eval reproduce table2 --size 376M` is planned, run, killed in the middle, gone
on with, printed beside the published numbers and made a report, each command in a process of its own. Scores of random weights say
nothing; what is measured is that every cell fills, and what each step takes.
"""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import _common as common
import yaml
from _corpora import BABILONG_TASKS, made_up_corpora

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.hub.loopback import TOKEN, Hub, Repository, loopback_hub  # noqa: E402

CARDS = ("RoPE-DCLM-376M-32k", "RoPEPP_EH-DCLM-376M-32k", "RoPEPP_EC-DCLM-376M-32k")
ROPE_CONFIGS = {
    "rope": None,
    "ropepp_eh": {"imag": True, "imag_mode": "imag1"},
    "ropepp_ec": {"imag": True, "imag_mode": "imag2"},
}
RULER_TASKS = 13
METHODS = ("RoPE", "RoPE++_EH", "RoPE++_EC")
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
}
TABLE = ("table2", "--size", "376M")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


@dataclass
class Step:
    """What one command took; the memory is of its largest process."""

    name: str
    seconds: float = 0.0
    processor_seconds: float = 0.0
    peak_gib: float = 0.0
    disk_gib: dict[str, float] = field(default_factory=dict)
    """What the folders hold afterwards."""


@dataclass
class Walk:
    """Where the commands run, and what they took."""

    folder: Path
    hub: Hub
    quick: bool
    steps: list[Step] = field(default_factory=list)

    @property
    def out(self) -> Path:
        return self.folder / "table2"

    def command(self, name: str, *arguments: str, kill_at: int | None = None) -> str:
        """Run a command and give what it prints; with `kill_at`, kill it once so many rows are on disk."""
        command = [sys.executable, "-m", "ropepp_eval", *arguments]
        if self.quick:  # the cards' shapes are tiny ones
            command = [sys.executable, __file__, "--side", "tiny cards", "--folder", str(self.folder)]
            command += ["--settings", json.dumps(arguments)]
        print(f"$ ropepp-eval {' '.join(arguments)}", flush=True)
        began = time.perf_counter()
        with (self.folder / "printed").open("w+", encoding="utf-8") as printed:
            process = subprocess.Popen(command, stdout=printed, env=self.environment(), cwd=ROOT)
            while kill_at is not None and os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                if len(self.rows()) >= kill_at:
                    os.kill(process.pid, signal.SIGKILL)
                    break
                time.sleep(0.5)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            printed.seek(0)
            text = printed.read()
        if process.returncode != (0 if kill_at is None else -signal.SIGKILL):
            raise SystemExit(f"{text}{name} ended with status {process.returncode}")
        step = Step(name, time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20, self.disk())
        self.steps.append(step)
        places = ", ".join(f"{place} {size:.3f}" for place, size in step.disk_gib.items())
        print(
            f"{text}{name}: {step.seconds:.1f} s ({step.processor_seconds:.1f} s of the processor), peak {step.peak_gib:.2f} GiB; "
            f"GiB on disk: {places}\n",
            flush=True,
        )
        return text

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name.lower() not in _PROXIES}
        ours = {"HF_ENDPOINT": self.hub.endpoint, "HF_TOKEN": TOKEN, "HF_HUB_CACHE": str(self.folder / "hub"),
                "HF_HUB_DISABLE_PROGRESS_BARS": "1"}  # fmt: skip
        return {**kept, **ours, "ROPEPP_EVAL_CACHE": str(self.folder / "rows"), "COLUMNS": "120"}

    def rows(self) -> list[str]:
        """Lines of the run folders that were written to their end."""
        texts = [path.read_text(encoding="utf-8") for path in sorted(self.out.rglob("*.jsonl"))]
        return [line for text in texts for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def disk(self) -> dict[str, float]:
        """GiB of each folder; links are not followed."""
        return {name: _bytes_of(self.folder / name) / 2**30 for name in ("hub", "rows", "table2")}


def main() -> int:
    options = common.parser(__doc__ or "")
    options.add_argument("--data", help="data folder with all corpora of Table 2; none: generated text stands in")
    options.add_argument("--lengths", help="with commas (default 2k,4k,8k)")
    options.add_argument(
        "--dtype", help="dtype of the models (default: the checkpoints' own, bfloat16; with --quick float32)"
    )
    options.add_argument("--only-plan", action="store_true", help="end after the plan, with the forecast for this machine")
    given = options.parse_args()
    if given.side:
        return tiny_cards(Path(given.folder), json.loads(given.settings))
    dtype = given.dtype or ("float32" if given.quick else "auto")
    lengths = given.lengths or ("2k,4k" if given.quick else "2k,4k,8k")
    with tempfile.TemporaryDirectory(prefix="ropepp-walk-") as name, loopback_hub() as hub:
        walk = Walk(Path(name), hub, given.quick)
        with common.Stopwatch() as making:
            served = serve(walk)
        print(f"three random checkpoints made and served: {served / 2**30:.2f} GiB in {making.seconds:.1f} s\n", flush=True)
        data = Path(given.data).resolve() if given.data else made_up_corpora(walk.folder / "data", lengths.split(","))
        rows = ["--samples", "1", "--data-dir", str(data)]
        asked = ["reproduce", *TABLE, "--lengths", lengths, *rows, "--out", str(walk.out)]
        walk.command("plan for a GPU", *asked, "--dry-run")
        if given.only_plan:
            for tasks, some in asked_tasks(lengths).items():
                planned = ["--tasks", tasks, "--lengths", some, *rows, "--protocol", "paper", "--dtype", dtype, "--dry-run"]
                walk.command(f"plan for this machine, {tasks[:8]}", "run", *CARDS, *planned)
            return common.finish("published_walk", [], quick=given.quick, steps=[asdict(step) for step in walk.steps])
        return common.finish(
            "published_walk",
            walked(walk, [*asked, "--device", "cpu", "--dtype", dtype, "--quiet"], cells(lengths), served),
            quick=given.quick,
            dtype=dtype,
            lengths=lengths,
            steps=[asdict(step) for step in walk.steps],
        )


def walked(walk: Walk, command: list[str], rows: int, served: int) -> list[common.Check]:
    """Every command after the plan, and what must hold afterwards."""
    walk.command("run, killed in the middle", *command, "--format", "none", kill_at=rows // 2)
    before = walk.rows()
    walk.command("resumed", *command, "--format", "none")
    after = walk.rows()
    with offline():
        table = walk.command("table", "table", str(walk.out), "--layout", "paper2", "--compare", "published")
        page = walk.folder / "table2.html"
        walk.command("report", "report", str(walk.out), "--out", str(page))
    print(f"{page.name}: {page.stat().st_size / 2**20:.2f} MB")
    answered = [line for line in after if json.loads(line)["error"] is None]
    return [
        common.Check("share of rows that were answered", len(answered) / rows, 1, "at least", exact=True),
        common.Check("rows written twice", len(after) - rows, 0, exact=True),
        common.Check("share of rows before the kill that stay", _share(before, after), 1, "at least", exact=True),
        common.Check("times the weights were fetched", walk.hub.sent["model.safetensors"] / served, 1, exact=True),
        common.Check(
            "methods in the table", sum(table.count(f"{name} ") > 0 for name in METHODS), 3, "at least", exact=True
        ),
    ]


def asked_tasks(lengths: str) -> dict[str, str]:
    """Tasks of the table and their lengths among these; RULER has none at 2k."""
    babilong = ",".join(f"babilong_qa{number}" for number in range(1, BABILONG_TASKS + 1))
    longer = ",".join(length for length in lengths.split(",") if length != "2k")
    return {babilong: lengths, **({"ruler": longer} if longer else {})}


def cells(lengths: str) -> int:
    """Of the table at these lengths."""
    counts = {"ruler": RULER_TASKS}
    return len(CARDS) * sum(
        counts.get(tasks, BABILONG_TASKS) * len(some.split(",")) for tasks, some in asked_tasks(lengths).items()
    )


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """What is printed of rows needs no hub."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        del os.environ["HF_HUB_OFFLINE"]


def serve(walk: Walk) -> int:
    """Put the three checkpoints and their tokenizer on the hub; bytes of the weights."""
    from ropepp_eval.checkpoints.cards import find_card

    tokenizer = ROOT / "models" / "tokenizer" if walk.quick else _llama3()
    if walk.quick:
        write_tiny_cards(walk.folder, tokenizer)
        _use_cards(walk.folder / "cards")
    served = 0
    for number, name in enumerate(CARDS):
        card = find_card(name)
        weights = random_weights(card, walk.folder / "made" / name, seed=number)
        theirs = {**card.shape, "model_type": "llama", "architectures": ["LlamaForCausalLM"], "rope_theta": card.base,
                  "max_position_embeddings": card.trained_length_tokens, "rope_config": ROPE_CONFIGS[card.position],
                  "tie_word_embeddings": False, "torch_dtype": "bfloat16"}  # fmt: skip
        with weights.open("rb") as stream:
            content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        walk.hub.repositories[card.hub_id] = Repository(
            {"config.json": json.dumps(theirs).encode(), "model.safetensors": content}
        )
        walk.hub.repositories[card.hub_id].entries()  # hashed now, not in a command's time
        served += len(content)
        files = {path.name: path.read_bytes() for path in tokenizer.iterdir()}
        walk.hub.repositories[card.tokenizer] = Repository(files, gated=True, sha="c3" * 20)
    return served


def random_weights(card: Any, folder: Path, *, seed: int) -> Path:
    """A file of bfloat16 weights of a card's shape."""
    import torch

    from ropepp_eval.checkpoints.cards import config_of_card
    from ropepp_eval.modeling import RopePPForCausalLM

    torch.manual_seed(seed)
    torch.set_default_dtype(torch.bfloat16)
    try:
        model = RopePPForCausalLM(config_of_card(card))
    finally:
        torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)
    return folder / "model.safetensors"


def write_tiny_cards(folder: Path, tokenizer: Path) -> None:
    """The cards of Table 2 with tiny shapes."""
    from ropepp_eval.checkpoints.cards import config_of_card, find_card
    from ropepp_eval.checkpoints.reading import expected_shapes

    entries = len(json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]) + 64
    (folder / "cards").mkdir()
    for name in CARDS:
        card = find_card(name).model_copy(update={"shape": {"vocab_size": entries, **TINY}})
        parameters = sum(math.prod(shape) for shape in expected_shapes(config_of_card(card)).values())
        card = card.model_copy(update={"parameters": parameters})
        (folder / "cards" / f"{name}.yaml").write_text(yaml.safe_dump(card.model_dump(mode="json")), encoding="utf-8")


def tiny_cards(folder: Path, arguments: list[str]) -> int:
    """A command of ours whose cards have tiny shapes, which Table 2 takes for 376M."""
    from ropepp_eval.checkpoints.cards import find_card
    from ropepp_eval.cli import main as command
    from ropepp_eval.reports import paper
    from ropepp_eval.reports.published import PublishedNames, published_names

    _use_cards(folder / "cards")
    names, size = published_names(), find_card(CARDS[0]).parameters
    known = PublishedNames({"376M": size}, names.methods, names.scalings, names.metrics)
    paper.published_names = lambda: known  # type: ignore[assignment]
    return command(arguments)


def _use_cards(folder: Path) -> None:
    from ropepp_eval.checkpoints import cards

    cards.resource_dir = lambda name: folder  # type: ignore[assignment]


def _llama3() -> Path:
    from ropepp_eval.demo.llama3_tokenizer import llama3_tokenizer

    return llama3_tokenizer()


def _share(before: list[str], after: list[str]) -> float:
    return len(set(before) & set(after)) / max(1, len(set(before)))


def _bytes_of(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


if __name__ == "__main__":
    sys.exit(main())
