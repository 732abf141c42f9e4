"""The tokenizer as rows and adapters need it: ids without special tokens, counts, and a hash of its content."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.hashing import hash_json


class Tokenizer:
    """A fast Hugging Face tokenizer; `encode` never adds special tokens."""

    def __init__(self, fast: Any, name: str) -> None:
        self.fast = fast
        """The `transformers` tokenizer itself."""
        self.name = name
        """What the user called it: a folder or a hub id."""

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, nothing added before or after."""
        ids: list[int] = self.fast.encode(text, add_special_tokens=False)
        return ids

    def count(self, text: str) -> int:
        """Number of tokens of `text`."""
        return self.count_each([text])[0]

    def count_each(self, texts: list[str]) -> list[int]:
        """Number of tokens of each text, counted alone, in one call."""
        return [len(e) for e in self.fast.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids: list[int]) -> str:
        """Text of `ids`, special tokens left out, no clean-up of blanks."""
        text: str = self.fast.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of what turns text into ids (vocabulary, merges, rules), whatever the folder is called."""
        return hash_json(self.fast.backend_tokenizer.to_str())


@functools.lru_cache(maxsize=8)
def load_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of a folder or hub id. Never runs code from it.

    Raises:
        UserError: there is none, or it can't count (no fast form).
    """
    folder = Path(name)
    if not folder.is_dir() and (folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1):  # no hub id
        raise UserError(f"tokenizer: there is no folder {name}; name a folder or hub id with --tokenizer")
    if folder.is_dir() and not any((folder / f).is_file() for f in ("tokenizer.json", "vocab.json", "tokenizer.model")):
        raise UserError(
            f"tokenizer: {name} holds no tokenizer.json, vocab.json or tokenizer.model; "
            "put the model's tokenizer there or name another folder with --tokenizer"
        )
    try:
        fast = _loader((folder / "tokenizer.json").is_file()).from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # what transformers raises here differs by file format and by release
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"tokenizer {name!r} can't be loaded ({reason}); name a folder or hub id with --tokenizer"
        ) from error
    if not getattr(fast, "is_fast", False):
        raise UserError(f"tokenizer {name!r} has no fast form (tokenizer.json), so it can't count; convert it first")
    fast.model_max_length = int(1e30)  # we check lengths ourselves; its own warning would be noise
    return Tokenizer(fast, name)


def _loader(complete: bool) -> Any:
    """The class that loads a tokenizer. That of a complete `tokenizer.json` does not import torch, which takes seconds and 400 MB."""
    if complete:
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast
    from transformers import AutoTokenizer

    return AutoTokenizer
