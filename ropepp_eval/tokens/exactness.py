"""Whether a text's tokens are its pieces' tokens, joined: read from a tokenizer's own parts, never guessed.

A text is cut before every single blank with a non-blank on both sides. Its pieces add up exactly where

1. the normalizer maps each character for itself, so that it can't look across a cut;
2. the pre-tokenizer puts a boundary at every cut, and before that none that depends on more than the two characters beside it.
   Without such a boundary the model must be BPE, and no token of the whole vocabulary may lie across a cut: a merge can't then,
   and what is merged on one side changes nothing on the other;
3. no added token reaches over a cut (blanks inside it, or taken from beside it). Texts that hold one which may are counted whole.

What is not on the lists below is counted whole: slower, and exact.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from typing import Any

from ropepp_eval.tokens.ids import Tokenizer

CUT = re.compile(r"(?<=\S) (?=\S)")
KEPT = "\x00"
"""Stands for a blank that is no cut; texts that hold it are counted whole."""
ANCHOR = "a"
"""Pieces are tokenized after it, so that what a tokenizer puts before a text's beginning is not counted."""

_SPANS_A_CUT = re.compile(r"\S ")
_BLANKS = re.compile("[ Ġ▁]")
_PROBE = 'Here is "one" text of 3,141 words:\n\nIt isn\'t long: VAR XYZ = 54131 \nVAR A = VAR XYZ  (1f0c-77) ... and\tso. '

_CHARACTER_BY_CHARACTER = {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "BertNormalizer", "Prepend"}
_DELETING = {"StripAccents", "BertNormalizer"}
"""They may take away the non-blank beside a cut, which only pre-tokenizers that break at every blank don't mind."""
_AT_EVERY_WHITE_SPACE = {"Whitespace", "WhitespaceSplit", "BertPreTokenizer"}

_CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_FIRST = r"[^\r\n\p{L}\p{N}]?"
_BREAKING_PATTERNS = {
    rf"{_CONTRACTIONS}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)|\s+",  # GPT-2
    rf"(?i:{_CONTRACTIONS})|{_FIRST}\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACES}",  # Llama 3, Qwen 2
    rf"'(?i:[sdmt]|ll|ve|re)|{_FIRST}\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACES}",  # GPT-4
    rf"{_FIRST}{_UPPER}*{_LOWER}+(?i:{_CONTRACTIONS})?|{_FIRST}{_UPPER}+{_LOWER}*(?i:{_CONTRACTIONS})?"
    rf"|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}",  # GPT-4o
}
"""Patterns that match every character, a blank only at the beginning of a match or among other white space, and look behind
nothing: a match begins at every cut. Possessive marks and the length of runs of digits don't matter, and are left out."""


@dataclass(frozen=True)
class Pieces:
    """What is known of a tokenizer's pieces."""

    exact: bool
    """True where they add up."""
    whole_where: tuple[str, ...] = ()
    """Not in texts that hold one of these."""

    def fit(self, text: str) -> bool:
        """Whether the pieces of `text` add up exactly."""
        return self.exact and KEPT not in text and not any(content in text for content in self.whole_where)


@functools.lru_cache(maxsize=8)
def pieces_of_tokenizer(tokenizer: Tokenizer) -> Pieces:
    """What the parts of a tokenizer say, checked on a text full of awkward places."""
    backend = tokenizer.backend
    if backend is None:
        return Pieces(exact=False)
    normalizers = _parts(backend.normalizer, "normalizers")
    whole_where = _reaching_tokens(backend, normalizers)
    if whole_where is None or any(content in ANCHOR for content in whole_where) or not _boundaries(backend, normalizers):
        return Pieces(exact=False)
    return Pieces(_probe_adds_up(tokenizer), whole_where)


def _parts(component: Any, listed: str) -> list[dict[str, Any]]:
    """A component of the backend as its file spells it, a sequence flattened."""
    if component is None:
        return []
    pending, found = [json.loads(component.__getstate__())], []
    while pending:
        part = pending.pop(0)
        if part["type"] == "Sequence":
            pending = part[listed] + pending
        else:
            found.append(part)
    return found


def _is_blank_mark(part: dict[str, Any]) -> bool:
    """SentencePiece's mark for a blank."""
    return bool(part["type"] == "Replace") and part["pattern"] == {"String": " "} and part["content"] == "▁"


def _boundaries(backend: Any, normalizers: list[dict[str, Any]]) -> bool:
    """Whether normalizer, pre-tokenizer and model keep the two sides of a cut apart."""
    if not all(part["type"] in _CHARACTER_BY_CHARACTER or _is_blank_mark(part) for part in normalizers):
        return False
    deleting = any(part["type"] in _DELETING for part in normalizers)
    blank = "▁" if any(map(_is_blank_mark, normalizers)) else " "
    for part in _parts(backend.pre_tokenizer, "pretokenizers"):
        breaks = _breaks(part, blank)
        if breaks is None:
            return False
        if breaks:
            return breaks == "at every blank" or not deleting
        blank = "Ġ" if part["type"] == "ByteLevel" else "▁" if part["type"] == "Metaspace" else blank
    return not deleting and _merges_stay_apart(backend, blank)


def _breaks(part: dict[str, Any], blank: str) -> str | None:
    """Where a pre-tokenizer puts boundaries: `at every blank`, `at every cut`, empty: only between two characters by what these
    two are; None: not known."""
    kind = part["type"]
    if kind == "Metaspace":
        if blank != " " or part["replacement"] != "▁":
            return None
        return "at every blank" if part["split"] else ""
    if kind in _AT_EVERY_WHITE_SPACE:
        return "at every blank" if blank == " " else None
    if kind == "ByteLevel":
        if blank != " ":
            return None
        return "at every cut" if part["use_regex"] else ""
    if kind == "Split" and not part["invert"] and part["pattern"] == {"String": blank}:
        return "at every blank" if part["behavior"] in ("MergedWithNext", "Isolated", "Removed") else None
    if kind == "Split" and (part["behavior"], part["invert"]) in (("Isolated", False), ("Removed", True)):
        return "at every cut" if blank == " " and _plainer(part["pattern"].get("Regex", "")) in _BREAKING_PATTERNS else None
    if kind == "Digits" or (kind == "Punctuation" and part["behavior"] in ("Isolated", "Contiguous")):
        return ""
    return None


def _plainer(pattern: str) -> str:
    """A pattern without possessive marks, and digits one by one."""
    return re.sub(r"\\p\{N\}\{1,\d\}\+?", r"\\p{N}", re.sub(r"(?<=[+*?])\+", "", pattern))


def _merges_stay_apart(backend: Any, blank: str) -> bool:
    """Whether the model is BPE without affixes, knows the blank, and has no token that lies across a cut."""
    model = backend.model
    vocabulary = backend.get_vocab(with_added_tokens=False)
    if (
        type(model).__name__ != "BPE"
        or model.continuing_subword_prefix
        or model.end_of_word_suffix
        or blank not in vocabulary
    ):
        return False
    return not any(_SPANS_A_CUT.search(_spelled(token)) for token in vocabulary if _BLANKS.search(token, 1))


def _reaching_tokens(backend: Any, normalizers: list[dict[str, Any]]) -> tuple[str, ...] | None:
    """Added tokens beside which pieces may not add up, as they stand in texts; None where texts don't show them as they are."""
    found = []
    for token in backend.get_added_tokens_decoder().values():
        if not _reaches(token, normalizers, backend):
            continue
        if token.normalized and normalizers:
            return None
        found.append(token.content)
    return tuple(dict.fromkeys(content for content in found if content))


def _reaches(token: Any, normalizers: list[dict[str, Any]], backend: Any) -> bool:
    kinds = {part["type"] for part in normalizers}
    if token.lstrip or token.rstrip or "Prepend" in kinds:  # Prepend: the text after the token begins anew
        return True
    if re.fullmatch("  +", token.content) and kinds <= {"NFC", "NFD"}:
        return False  # a run of blanks stands at no cut
    content = token.content
    if token.normalized and normalizers:
        content += backend.normalizer.normalize_str(content)
    return any(c.isspace() or c == "▁" for c in content)


def _probe_adds_up(tokenizer: Tokenizer) -> bool:
    pieces = CUT.split(_PROBE)
    anchor = tokenizer.count(ANCHOR)
    inside = sum(count - anchor for count in tokenizer.count_each([f"{ANCHOR} {piece}" for piece in pieces[1:]]))
    return tokenizer.count(pieces[0]) + inside == tokenizer.count(_PROBE)


def _spelled(token: str) -> str:
    """A token of the vocabulary as text: byte-level BPE writes a blank as `Ġ`, SentencePiece as `▁`."""
    if "Ġ" in token and all(character in _BYTES for character in token):
        return bytes(_BYTES[character] for character in token).decode("utf-8", "replace")
    return token.replace("▁", " ")


def _byte_alphabet() -> dict[str, int]:
    """The byte behind each character of byte-level BPE: printable bytes stand for themselves, the others from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(hidden)}


_BYTES = _byte_alphabet()
