"""Shared fixtures: where the golden files are, and a clean skip where they are not."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path

import pytest

from tests.lm_eval_index import remember
from tests.warm.start import Warm, warm_process

os.environ["ROPEPP_EVAL_CACHE"] = "off"  # rows of a test are built by the code under test
if "PYTEST_XDIST_WORKER" in os.environ:  # workers that share the cores: threads of torch would only wait for each other
    os.environ.setdefault(
        "OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])))
    )
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background jobs ignore Ctrl-C; some tests send it
    signal.signal(signal.SIGINT, signal.default_int_handler)
GOLDEN = Path(__file__).resolve().parent / "golden"
SHARED = Path(os.environ.get("ROPEPP_EVAL_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def shared_folder(*parts: str) -> Path:
    """A folder of the reference material, or a skip that says what is missing."""
    folder = SHARED.joinpath(*parts)
    if not folder.exists():
        pytest.skip(f"reference material is not here: {folder} (set ROPEPP_EVAL_SHARED)")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that hold a slow test come first, so that no worker is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """What all tests have imported is left out when Python looks for circles: half a second each time, and more in a process that is forked."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """At the end modules are torn down as ever; some say otherwise that they leak."""
    gc.unfreeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line on what was left out for want of the reference material, and how to get it."""
    missing = [
        report for report in terminalreporter.stats.get("skipped", []) if "reference material" in str(report.longrepr)
    ]
    if missing:
        terminalreporter.write_line(
            f"{len(missing)} tests compare with corpora and texts that have owners (tests/golden/README.md) and were skipped: "
            "set ROPEPP_EVAL_SHARED to a folder with data/ (docs/data.md), golden/ and paper/"
        )


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are as wide as they like, whatever width the tests' own terminal has."""
    monkeypatch.delenv("COLUMNS", raising=False)


def session_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder that all workers of a session share."""
    base = factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Warm:
    """Commands in processes that are forked from a warm one (tests/warm)."""
    owner = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    return warm_process(session_folder(tmp_path_factory, "warm"), owner)


@pytest.fixture(scope="session")
def lm_eval_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """lm-eval's own tasks are read once a session, into this file (tests/lm_eval_index.py)."""
    folder = session_folder(tmp_path_factory, "warm")
    folder.mkdir(exist_ok=True)
    remember(folder / "lm-eval-index")
    return folder / "lm-eval-index"


@pytest.fixture(scope="session")
def golden() -> Path:
    """Golden checkpoints and the numbers of the public code; tests/golden/README.md says what they are."""
    return GOLDEN / "checkpoints"


@pytest.fixture(scope="session")
def golden_tasks() -> Path:
    """What the reference benchmarks chose, counted and scored, without the texts of others."""
    return GOLDEN / "tasks"


@pytest.fixture(scope="session")
def reference_tasks() -> Path:
    """Whole rows of the reference benchmarks, with texts that have owners."""
    return shared_folder("golden", "tasks")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real corpora in the data folder's layout."""
    return shared_folder("data")


@pytest.fixture(scope="session")
def gpt2_tokenizer_dir(data_dir: Path) -> Path:
    return data_dir / "gpt2-tokenizer"


@pytest.fixture(scope="session")
def tiny_tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE tokenizer of 512 entries, trained on a few generated sentences."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    words = "The grass is green. The sky is blue. The sun is yellow. One of the special magic numbers for key is hidden. Where is Mary?"
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([words] * 20, trainer)
    folder = tmp_path_factory.mktemp("tokenizer")
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>", bos_token="<|endoftext|>").save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_dir: Path) -> Path:
    """A random Llama-shaped checkpoint of a few thousand parameters with its tokenizer; made for 8,192 tokens."""
    return make_tiny_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny", tiny_tokenizer_dir, seed=1)


def make_tiny_checkpoint(folder: Path, tokenizer_dir: Path, *, seed: int) -> Path:
    """Write a tiny random Llama checkpoint with the tokenizer of `tokenizer_dir`."""
    import shutil

    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=512,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)
    for file in tokenizer_dir.iterdir():
        shutil.copy(file, folder)
    return folder
