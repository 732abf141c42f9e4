"""From a name to a tokenizer: the files are checked, the library reads them, and a first text is tried."""

from __future__ import annotations

import functools
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.tokens.files import check_files, files_state, folder_of, model_type_beside
from ropepp_eval.tokens.ids import Tokenizer, one_line_errors

__all__ = ["Tokenizer", "load_tokenizer"]

_MISTRAL_TYPES = ("mistral", "mistral3", "voxtral", "ministral", "pixtral")
"""Of these some tokenizers were published with a wrong pattern, of which transformers warns."""
_TRIAL = "Here is a text: 3,141 words,\n\tand \u00e9\u2014\u4e00 \U0001f642  end. "


def load_tokenizer(
    name: str,
    *,
    add_bos_token: bool | None = None,
    prefix_token_id: int | None = None,
    prompt_format: str = "base",
    system: str | None = None,
    reasoning_budget: int = 0,
) -> Tokenizer:
    """The tokenizer of a folder or hub id. Never runs code from it.

    Args:
        name: folder or hub id.
        add_bos_token, prefix_token_id, prompt_format, system, reasoning_budget: see `Tokenizer`.

    Raises:
        UserError: there is none, a file of it is wrong, or it can't count (no fast form).
    """
    folder = folder_of(name)
    chat = (prompt_format, system, reasoning_budget)
    return _loaded(name, folder, files_state(folder), add_bos_token, prefix_token_id, chat)


@functools.lru_cache(maxsize=8)
def _loaded(
    name: str,
    folder: Path,
    state: tuple[Any, ...],
    add_bos_token: bool | None,
    prefix_token_id: int | None,
    chat: tuple[str, str | None, int],
) -> Tokenizer:
    """A tokenizer's files are read again only where they changed: rows remember what they learned of its pieces."""
    check_files(folder)
    with _panics_kept_quiet(), one_line_errors(f"tokenizer {inert(name)} can't be loaded"):
        fast = _loader(folder).from_pretrained(
            str(folder), trust_remote_code=False, local_files_only=True, **_pattern_taken(folder)
        )
        if not getattr(fast, "is_fast", False):
            raise UserError(f"tokenizer {name!r} has no fast form (tokenizer.json), so it can't count; convert it first")
        fast.model_max_length = int(1e30)  # we check lengths ourselves; its own warning would be noise
        prompt_format, system, reasoning_budget = chat
        tokenizer = Tokenizer(
            fast,
            name,
            add_bos_token=add_bos_token,
            prefix_token_id=prefix_token_id,
            prompt_format=prompt_format,
            system=system,
            reasoning_budget=reasoning_budget,
        )
        ids = tokenizer.encode(_TRIAL)
        tokenizer.decode(ids)
        if ids != fast.encode(_TRIAL, add_special_tokens=False):
            raise UserError(
                f"tokenizer {inert(name)}: its class {type(fast).__name__} gives other ids than the `tokenizers` library does; "
                "save it as a tokenizer.json of its own"
            )
    return tokenizer


def _pattern_taken(folder: Path) -> dict[str, bool]:
    """What keeps transformers from calling the pattern of a large tokenizer incorrect where it is no Mistral's.

    It takes every tokenizer of over 100,000 entries for one that lies beside a config.json without `transformers_version`. The pattern
    of the file is used in any case.
    """
    return {} if model_type_beside(folder) in _MISTRAL_TYPES else {"fix_mistral_regex": False}


def _loader(folder: Path) -> Any:
    """The class that loads a tokenizer. That of a complete `tokenizer.json` does not import torch, which takes seconds and 400 MB."""
    if (folder / "tokenizer.json").is_file():
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast
    from transformers import AutoTokenizer

    return AutoTokenizer


@contextmanager
def _panics_kept_quiet() -> Iterator[None]:
    """The Rust library writes a panic and its stack to the standard error before it raises; our one line says it.

    What is written meanwhile is held back, and thrown away only where there was a panic.
    """
    sys.stderr.flush()
    try:
        screen = os.dup(2)
    except OSError:  # no standard error at all
        yield
        return
    panicked = False
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except UserError as error:
            panicked = type(error.__cause__).__name__ == "PanicException"
            raise
        finally:
            sys.stderr.flush()
            os.dup2(screen, 2)
            os.close(screen)
            if not panicked:
                held.seek(0)
                sys.stderr.write(held.read().decode("utf-8", "replace"))
                sys.stderr.flush()
