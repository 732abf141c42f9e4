"""The tokenizer of a GGUF file as a tokenizer of the `tokenizers` library, built from its own lists and checked.

A GGUF file names how a text is split before merging (`tokenizer.ggml.pre`); a converter that does not know the name splits otherwise and
gives ids that the model was not trained on. Here a name that is not known is refused. Source: llama.cpp, src/llama-vocab.cpp.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from ropepp_eval.checkpoints.gguf_file import GgufFile
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.outside import shown

_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_PRE_NAMES = {"smollm": "smollm", "gpt-2": "gpt-2", "llama-bpe": "llama-3", "llama3": "llama-3", "llama-v3": "llama-3"}
_CONTROL, _USER_DEFINED = 3, 4
"""Token types of the file: what is found in a text before anything else, and left out of decoded text or not."""
_TRIAL = "Here are 3,141 words,\n\tin 20 lines: don't   stop \u00e9\u2014\u4e00 \U0001f642\r\n  end. "


def fast_tokenizer(file: GgufFile) -> Any:
    """The `transformers` tokenizer of a GGUF file, its chat template included.

    Raises:
        UserError: its kind or its way of splitting is not known, its lists are damaged, or the built tokenizer fails its check.
    """
    from transformers import PreTrainedTokenizerFast

    kind, tokens = file.fields.get("tokenizer.ggml.model"), _texts(file, "tokens")
    if len(set(tokens)) != len(tokens):
        raise UserError(f"{file.where}: tokenizer.ggml.tokens has a token twice; copy or download it again")
    if kind == "gpt2":
        backend, begins = _byte_level(file, tokens)
    elif kind == "llama":
        backend, begins = _sentencepiece(file, tokens)
    else:
        raise UserError(
            f"{file.where}: tokenizer.ggml.model is {shown(kind)}; gpt2 (byte-level BPE) and llama (SentencePiece BPE) are exported: take "
            "the model's own tokenizer with --tokenizer"
        )
    special = {name: file.fields.get(f"tokenizer.ggml.{long}_token_id") for name, long in _SPECIAL.items()}
    named = {name: tokens[token] for name, token in special.items() if token is not None and 0 <= token < len(tokens)}
    _add_tokens(file, backend, tokens)
    _frame(file, backend, named, begins)
    _check(file, backend, tokens)
    template = file.fields.get("tokenizer.chat_template")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        clean_up_tokenization_spaces=False,
        **named,
        **({"chat_template": template} if isinstance(template, str) else {}),
    )


_SPECIAL = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}


def _texts(file: GgufFile, name: str) -> list[str]:
    found = file.fields.get(f"tokenizer.ggml.{name}")
    if not isinstance(found, list) or not found or not all(isinstance(text, str) for text in found):
        raise UserError(
            f"{file.where}: tokenizer.ggml.{name} is {shown(found)}; it must be a list of texts: name another file"
        )
    return found


def _byte_level(file: GgufFile, tokens: Sequence[str]) -> tuple[Tokenizer, bool]:
    named = file.fields.get("tokenizer.ggml.pre")
    pre = _PRE_NAMES.get(named) if isinstance(named, str) else None
    if pre is None:
        raise UserError(
            f"{file.where}: tokenizer.ggml.pre is {shown(named)}, a way to split texts that is not known here; known are "
            f"{', '.join(_PRE_NAMES)}: take the model's safetensors checkpoint with its tokenizer.json"
        )
    split = [merge.partition(" ") for merge in _texts(file, "merges")]
    if any(not left or not right or " " in right for left, _, right in split):
        raise UserError(
            f"{file.where}: tokenizer.ggml.merges holds an entry that is not two tokens; copy or download it again"
        )
    backend = _built(
        file,
        lambda: Tokenizer(
            models.BPE(_numbered(tokens), [(left, right) for left, _, right in split], ignore_merges=pre == "llama-3")
        ),
    )
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pre != "llama-3")
    before: dict[str, list[Any]] = {
        "smollm": [pre_tokenizers.Digits(individual_digits=True)],
        "gpt-2": [],
        "llama-3": [pre_tokenizers.Split(Regex(_LLAMA_3), behavior="isolated")],
    }
    backend.pre_tokenizer = pre_tokenizers.Sequence([*before[pre], plain])
    backend.decoder = decoders.ByteLevel()
    return backend, pre == "llama-3"


def _sentencepiece(file: GgufFile, tokens: Sequence[str]) -> tuple[Tokenizer, bool]:
    scores, unknown = file.fields.get("tokenizer.ggml.scores"), file.fields.get("tokenizer.ggml.unknown_token_id", 0)
    if not isinstance(scores, list) or len(scores) != len(tokens) or not 0 <= unknown < len(tokens):
        raise UserError(f"{file.where}: tokenizer.ggml.scores are not one a token; copy or download it again")
    score = dict(zip(tokens, scores, strict=True))
    merges = _merges_of(score)
    backend = _built(
        file,
        lambda: Tokenizer(
            models.BPE(_numbered(tokens), merges, unk_token=tokens[unknown], fuse_unk=True, byte_fallback=True)
        ),
    )
    prefix = file.fields.get("tokenizer.ggml.add_space_prefix", True)
    backend.normalizer = normalizers.Sequence(
        [*([normalizers.Prepend("▁")] if prefix else []), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(content=" ", left=1)] if prefix else []),
        ]
    )
    text = ("▁" if prefix else "") + _TRIAL.replace(" ", "▁")
    known = [part for part in merged_by_score(text, score) if part in score]
    if [token for token in backend.encode(_TRIAL, add_special_tokens=False).tokens if token in known] != known:
        raise UserError(f"{file.where}: its scores do not give a BPE tokenizer; take the model's safetensors checkpoint")
    return backend, True


def _merges_of(score: Mapping[str, float]) -> list[tuple[str, str]]:
    """The merges that make every token of two known parts, the token of the highest score first."""
    found = []
    for number, token in enumerate(score):
        parts = [(token[:at], token[at:]) for at in range(1, len(token)) if token[:at] in score and token[at:] in score]
        found += [(-score[token], number, place, pair) for place, pair in enumerate(parts)]
    return [pair for *_, pair in sorted(found)]


def merged_by_score(text: str, score: Mapping[str, float]) -> list[str]:
    """SentencePiece's BPE as it is defined: of all neighbours the pair whose joined token scores highest is joined, leftmost first,
    until none is a token. An oracle for the merges made of the scores."""
    parts: list[str | None] = list(text)
    after = [*range(1, len(parts)), -1]
    before = [-1, *range(len(parts) - 1)]
    heap: list[tuple[float, int, str]] = []

    def consider(left: int) -> None:
        if left >= 0 and after[left] >= 0:
            joined = f"{parts[left]}{parts[after[left]]}"
            if joined in score:
                heapq.heappush(heap, (-score[joined], left, joined))

    for place in range(len(parts)):
        consider(place)
    while heap:
        _, left, joined = heapq.heappop(heap)
        right = after[left]
        if parts[left] is None or right < 0 or f"{parts[left]}{parts[right]}" != joined:
            continue
        parts[left], parts[right] = joined, None
        after[left] = after[right]
        if after[right] >= 0:
            before[after[right]] = left
        consider(before[left])
        consider(left)
    return [part for part in parts if part is not None]


def _numbered(tokens: Sequence[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(tokens)}


def _built(file: GgufFile, build: Callable[[], Tokenizer]) -> Tokenizer:
    try:
        return build()
    except Exception as error:  # the library raises plain exceptions: a merge of a token that is none
        raise UserError(
            f"{file.where}: its tokenizer can't be built ({inert(' '.join(str(error).split()))[:120]})"
        ) from error


def _add_tokens(file: GgufFile, backend: Tokenizer, tokens: Sequence[str]) -> None:
    kinds = file.fields.get("tokenizer.ggml.token_type") or [1] * len(tokens)
    if len(kinds) != len(tokens):
        raise UserError(f"{file.where}: tokenizer.ggml.token_type is not one a token; copy or download it again")
    for token, kind in zip(tokens, kinds, strict=True):
        if kind == _CONTROL:
            backend.add_special_tokens([AddedToken(token, special=True, normalized=False)])
        elif kind == _USER_DEFINED:
            backend.add_tokens([AddedToken(token, normalized=False)])


def _frame(file: GgufFile, backend: Tokenizer, named: Mapping[str, str], begins: bool) -> None:
    """The special tokens that enter a model with a text, as the file says or, where it is silent, as its kind of tokenizer has it."""
    first = named.get("bos_token") if file.fields.get("tokenizer.ggml.add_bos_token", begins) else None
    last = named.get("eos_token") if file.fields.get("tokenizer.ggml.add_eos_token", False) else None
    around = [token for token in (first, last) if token is not None]
    if around:
        backend.post_processor = processors.TemplateProcessing(
            single=[*([first] if first else []), "$A", *([last] if last else [])],
            special_tokens=[(token, backend.token_to_id(token)) for token in dict.fromkeys(around)],
        )


def _check(file: GgufFile, backend: Tokenizer, tokens: Sequence[str]) -> None:
    """Every token has the id of its place, and a text comes back from its ids as it was."""
    moved = next((token for number, token in enumerate(tokens) if backend.token_to_id(token) != number), None)
    if moved is not None or backend.get_vocab_size() != len(tokens):
        raise UserError(f"{file.where}: the built tokenizer gives {shown(moved)} another id than the file; use --tokenizer")
    back = backend.decode(backend.encode(_TRIAL, add_special_tokens=False).ids)
    if back != _TRIAL:
        raise UserError(f"{file.where}: the built tokenizer reads {shown(_TRIAL)} and writes {shown(back)}; use --tokenizer")
