"""The demo's tokenizer: byte-level BPE over text that the project generates itself, every digit a token of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ropepp_eval.data import DataFolder
from ropepp_eval.rows.building import DEFAULT_SEED
from ropepp_eval.rows.catalogue import task_entries
from ropepp_eval.rows.row import RowRequest
from ropepp_eval.tokens.tokenizer import Tokenizer

VOCABULARY = 2048
END = "<|endoftext|>"
TASKS = (
    "niah_single_1",
    "niah_single_2",
    "niah_single_3",
    "niah_multikey_2",
    "babilong_qa1",
    "babilong_qa2",
    "babilong_qa3",
)


def train_tokenizer(vocabulary: int = VOCABULARY) -> Any:
    """A `PreTrainedTokenizerFast` of `vocabulary` entries; the same one each time, as long as the tasks' rows stay the same.

    Trained on prompts of generated tasks, which are fitted by counting bytes: the tokenizer before any merge. The one in
    `models/tokenizer`, which all demo models share, comes from an earlier drawing of the rows and is kept as it is.
    """
    from tokenizers import pre_tokenizers, trainers

    trained = _backend()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    trained.train_from_iterator(training_texts(), trainer)
    return _fast(trained)


def training_texts(samples: int = 6, length_tokens: int = 16384) -> Iterator[str]:
    """Prompts of generated rows: filler, needles, bAbI-like worlds."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import models

    bytes_only = _backend()
    alphabet = {letter: number for number, letter in enumerate([END, *sorted(_alphabet())])}
    bytes_only.model = models.BPE(vocab=alphabet, merges=[])
    assert isinstance(bytes_only, Backend)
    counter = Tokenizer(_fast(bytes_only), "bytes")
    for name in TASKS:
        request = RowRequest(
            task=name,
            length_tokens=length_tokens,
            samples=samples,
            seed=DEFAULT_SEED,
            protocol="reference",
            tokenizer=counter,
            data=DataFolder(None),
        )
        for row in task_entries()[name].build_rows()(request):
            yield f"{row.prompt} {' '.join(row.references)}"


def _alphabet() -> list[str]:
    from tokenizers import pre_tokenizers

    return list(pre_tokenizers.ByteLevel.alphabet())


def _backend() -> Any:
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers

    backend = Backend(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    backend.decoder = decoders.ByteLevel()
    return backend


def _fast(backend: Any) -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=END, eos_token=END, clean_up_tokenization_spaces=False
    )
