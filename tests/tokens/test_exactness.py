"""Counting and encoding by pieces equals doing it whole, for tokenizers put together at random from the library's own parts."""

from __future__ import annotations

import functools
from itertools import product
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from ropepp_eval.errors import UserError
from ropepp_eval.tokens.counting import PieceCounter
from ropepp_eval.tokens.encoding import PieceEncoder
from ropepp_eval.tokens.exactness import pieces_of_tokenizer
from ropepp_eval.tokens.ids import Tokenizer
from tests.tokens.test_counting import PARTS
from tests.tokens.tokenizers_to_try import LLAMA_3, sample_texts, wrapped

NORMALIZERS: dict[str, Any] = {
    "none": None,
    "nfc": normalizers.NFC(),
    "nfkc": normalizers.NFKC(),
    "lower": normalizers.Lowercase(),
    "no accents": normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]),
    "bert": normalizers.BertNormalizer(),
    "llama 2": normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
    "gemma": normalizers.Replace(" ", "▁"),
    "stripped": normalizers.Strip(),
    "one blank": normalizers.Replace(Regex(r"\s+"), " "),
}
SPLITS: dict[str, Any] = {
    "none": None,
    "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "gpt-2 prefix": pre_tokenizers.ByteLevel(add_prefix_space=True),
    "bytes": pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    "llama 3": pre_tokenizers.Split(Regex(LLAMA_3), "isolated"),
    "sentencepiece": pre_tokenizers.Metaspace(),
    "sentencepiece first": pre_tokenizers.Metaspace(prepend_scheme="first"),
    "sentencepiece whole": pre_tokenizers.Metaspace(prepend_scheme="never", split=False),
    "words": pre_tokenizers.Whitespace(),
    "white space": pre_tokenizers.WhitespaceSplit(),
    "bert": pre_tokenizers.BertPreTokenizer(),
    "digits": pre_tokenizers.Digits(individual_digits=True),
    "punctuation": pre_tokenizers.Punctuation(),
    "marks": pre_tokenizers.Split("▁", "merged_with_next"),
    "marks in training": pre_tokenizers.Split("▁", "merged_with_next"),
    "marks before": pre_tokenizers.Split("▁", "merged_with_previous"),
    "blanks": pre_tokenizers.Split(" ", "merged_with_previous"),
    "scripts": pre_tokenizers.UnicodeScripts(),
    "five": pre_tokenizers.Split(Regex(".{5}"), "isolated"),
    "pairs": pre_tokenizers.Split(Regex(r"\w+ \w+"), "isolated"),
}
CONTENTS = ["<tok>", "grass", " is", "The ", "a b", "▁", "▁the", "  ", "isn't green", "é", "."]
FLAGS = [
    dict(zip(("lstrip", "rstrip", "single_word", "normalized"), flags, strict=True))
    for flags in product((False, True), repeat=4)
]
WORDS = [*PARTS, *CONTENTS, "green", "´", "\u0301", "☃", "\x01", "▁"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=12).flatmap(
    lambda words: st.sampled_from(["", " "]).map(lambda glue: glue.join(words))
)


def model_and_trainer(kind: str) -> tuple[Any, Any]:
    special = {"special_tokens": ["<unk>"], "show_progress": False}
    if kind == "unigram":
        return models.Unigram(), trainers.UnigramTrainer(vocab_size=200, unk_token="<unk>", **special)
    if kind == "wordpiece":
        return models.WordPiece(unk_token="<unk>"), trainers.WordPieceTrainer(vocab_size=300, **special)
    if kind == "words":
        return models.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer(vocab_size=100, **special)
    model = models.BPE(unk_token="<unk>", fuse_unk=kind == "bpe fused", byte_fallback=kind == "bpe bytes")
    if kind == "bpe bytes":
        special["special_tokens"] += [f"<0x{byte:02X}>" for byte in range(256)]
    return model, trainers.BpeTrainer(vocab_size=600, **special)


@functools.cache
def trained(normalizer: str, splits: tuple[str, ...], model: str) -> str:
    found, trainer = model_and_trainer(model)
    backend = Backend(found)
    if NORMALIZERS[normalizer] is not None:
        backend.normalizer = NORMALIZERS[normalizer]
    parts = [SPLITS[split] for split in splits if split != "none"]
    if parts:
        backend.pre_tokenizer = pre_tokenizers.Sequence(parts)
    backend.train_from_iterator(sample_texts() if parts else ["The grass is green.", "The sky"], trainer)
    if splits == ("marks in training",):
        backend.pre_tokenizer = None
    return backend.to_str()


PARTS_OF_IT = st.tuples(
    st.sampled_from(sorted(NORMALIZERS)),
    st.lists(st.sampled_from(sorted(SPLITS)), min_size=1, max_size=2).map(tuple),
    st.sampled_from(["bpe", "bpe fused", "bpe bytes", "unigram", "wordpiece", "words"]),
)
ADDED = st.lists(st.tuples(st.sampled_from(CONTENTS), st.sampled_from(FLAGS), st.booleans()), max_size=2)


@given(parts=PARTS_OF_IT, added=ADDED, texts=st.lists(TEXTS, min_size=1, max_size=6))
@settings(deadline=None, max_examples=200)
def test_whatever_a_tokenizer_is_made_of_its_pieces_give_its_own_ids(parts: Any, added: Any, texts: list[str]) -> None:
    tokenizer = with_added(trained(*parts), added)
    try:
        whole = [tokenizer.encode(text) for text in texts]
    except UserError:  # the library panics at some mixtures, such as a normalizer that leaves nothing of an added token
        reject()
    counter, encoder = PieceCounter(tokenizer), PieceEncoder(tokenizer)
    assert encoder.encode_each(texts) == whole
    assert [counter.count(text) for text in texts] == [len(ids) for ids in whole]


def with_added(serialized: str, added: Any) -> Tokenizer:
    backend = Backend.from_str(serialized)
    for content, flags, special in added:
        (backend.add_special_tokens if special else backend.add_tokens)([AddedToken(content, **flags)])
    return wrapped(backend, "made of parts")


QUICK = {
    "GPT-2": ("none", ("gpt-2",), "bpe"),
    "Llama 3": ("none", ("llama 3", "bytes"), "bpe"),
    "SmolLM": ("none", ("digits", "gpt-2"), "bpe"),
    "Pythia": ("nfc", ("gpt-2",), "bpe"),
    "Llama 2": ("llama 2", ("marks in training",), "bpe bytes"),
    "Gemma": ("gemma", ("marks",), "bpe bytes"),
    "T5": ("none", ("sentencepiece",), "unigram"),
    "BERT": ("bert", ("bert",), "wordpiece"),
}


@pytest.mark.parametrize("kind", QUICK)
def test_the_usual_kinds_are_counted_by_pieces_beside_plain_special_tokens(kind: str) -> None:
    flags = {"normalized": False}
    tokenizer = with_added(trained(*QUICK[kind]), [("<s>", flags, True), ("</s>", flags, True)])
    assert pieces_of_tokenizer(tokenizer).fit("The grass is green. The sky is blue.")


def test_texts_with_a_token_that_takes_blanks_are_counted_whole_and_others_are_not() -> None:
    tokenizer = with_added(trained(*QUICK["GPT-2"]), [("<end>", {"rstrip": True, "normalized": False}, True)])
    pieces = pieces_of_tokenizer(tokenizer)
    assert pieces.fit("The grass <is> green.")
    assert not pieces.fit("The grass <end> green.")
