"""Small tokenizers of every common kind, trained on generated text: what counting by pieces has to cope with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from ropepp_eval.text.filler import filler_words
from ropepp_eval.tokens.tokenizer import Tokenizer

LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SIZE = 700


def wrapped(backend: Backend, name: str) -> Tokenizer:
    """A backend as the package uses it."""
    return Tokenizer(SimpleNamespace(backend_tokenizer=backend), name)


def sample_texts() -> list[str]:
    words, _ = filler_words(3000, "tokenizer")
    text = " ".join(words)
    return [
        text,
        text.replace(". ", ".\n"),
        "VAR XYZ = 12345 \nVAR ABC = VAR XYZ ... 1. one 2. two\n\nDocument 7:\nIt isn't.",
    ]


def _trained(backend: Backend, trainer: Any, name: str) -> Tokenizer:
    backend.train_from_iterator(sample_texts(), trainer)
    return wrapped(backend, name)


def byte_level(pre_tokenizer: Any, name: str) -> Tokenizer:
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizer
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return _trained(backend, trainers.BpeTrainer(vocab_size=_SIZE, initial_alphabet=alphabet, show_progress=False), name)


def like_gpt2() -> Tokenizer:
    return byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), "like GPT-2")


def like_llama3() -> Tokenizer:
    split = pre_tokenizers.Split(Regex(LLAMA_3), "isolated")
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return byte_level(pre_tokenizers.Sequence([split, plain]), "like Llama 3")


def across_words() -> Tokenizer:
    """Its tokens lie across blanks, so pieces can't be added up."""
    return byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False), "across words")


def like_llama2() -> Tokenizer:
    backend = Backend(models.BPE(unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    return _trained(
        backend, trainers.BpeTrainer(vocab_size=_SIZE, special_tokens=["<unk>"], show_progress=False), "like Llama 2"
    )


def like_t5() -> Tokenizer:
    backend = Backend(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False)
    return _trained(backend, trainer, "like T5")


def like_bert() -> Tokenizer:
    backend = Backend(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=_SIZE, special_tokens=["[UNK]"], show_progress=False)
    return _trained(backend, trainer, "like BERT")


KINDS = {kind.__name__: kind for kind in (like_gpt2, like_llama3, like_llama2, like_t5, like_bert, across_words)}
