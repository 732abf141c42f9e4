"""Llama 3's tokenizer, which all published checkpoints use, from the package index: a wheel of Meta's carries it in tiktoken's form.

    python -m ropepp_eval.demo.llama3_tokenizer        # fetch it once, print its folder, which --tokenizer takes

The hub's copy is gated; this one comes under the same licence, Meta's for Llama 3, so it may be used and belongs in no repository. The
folder lies in the user's cache (`ROPEPP_EVAL_MODELS` names another place), by the wheel's name.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

from ropepp_eval.demo.wheels import Wheel
from ropepp_eval.errors import UserError

WHEEL = Wheel(
    "llama-models==0.3.0",
    "llama_models-0.3.0-py3-none-any.whl",
    "7f77f78ff13fca09f70d76a376aff6414cd901623fb9d57e69c2f8367a73032f",
    7,
)
NAME = "Llama-3-tokenizer"
RANKS = "llama_models/llama3/tokenizer.model"
BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"
_NAMED = {
    0: BOS, 1: EOS, 4: "<|finetune_right_pad_id|>", 5: "<|step_id|>", 6: "<|start_header_id|>", 7: "<|end_header_id|>",
    8: "<|eom_id|>", 9: "<|eot_id|>", 10: "<|python_tag|>", 11: "<|image|>",
}  # fmt: skip
_SPECIAL = 256


def llama3_tokenizer() -> Path:
    """The tokenizer's folder; what is not there is fetched and converted first.

    Raises:
        UserError: the package index is out of reach, or what it gives is not the wheel whose hash is pinned.
    """
    return WHEEL.made(NAME, RANKS, 17, _written)


def _written(ranks: Path, folder: Path) -> None:
    """The tokenizer beside the file that it is made of."""
    made = ranks.with_name(NAME)
    converted(ranks).save_pretrained(made)
    ranks.rename(ranks_file())
    try:
        made.rename(folder)
    except OSError:  # another process was first
        if not folder.is_dir():
            raise


def ranks_file() -> Path:
    """The same tokenizer as the wheel carries it."""
    return WHEEL.folder / "tokenizer.model"


def read_ranks(file: Path) -> dict[bytes, int]:
    """The entries of a file in tiktoken's form: their bytes, and the order in which they are merged."""
    pairs = (line.split() for line in file.read_bytes().splitlines() if line)
    return {base64.b64decode(entry): int(rank) for entry, rank in pairs}


def special_tokens() -> list[str]:
    """The 256 special tokens by number, as Meta's code names them; they follow the entries."""
    spare = iter(range(_SPECIAL))
    return [
        _NAMED[number] if number in _NAMED else f"<|reserved_special_token_{next(spare)}|>" for number in range(_SPECIAL)
    ]


def converted(ranks: Path) -> Any:
    """A fast tokenizer of `transformers`, by its own converter, which puts BOS before every text."""
    from tokenizers.processors import ByteLevel, Sequence, TemplateProcessing
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import TikTokenConverter

    class Converter(TikTokenConverter):
        @staticmethod
        def load_tiktoken_bpe(
            tiktoken_url: str,
        ) -> dict[bytes, int]:  # without tiktoken, which keeps a copy of each file it reads
            return read_ranks(Path(tiktoken_url))

    backend = Converter(str(ranks), extra_special_tokens=special_tokens()).converted()
    bos = (BOS, backend.token_to_id(BOS))
    template = TemplateProcessing(single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B:1", special_tokens=[bos])
    backend.post_processor = Sequence([ByteLevel(trim_offsets=False), template])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=BOS, eos_token=EOS, clean_up_tokenization_spaces=False
    )


def main() -> int:
    try:
        print(llama3_tokenizer())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
