"""Settings of the native adapter: what lm-eval's `--model_args` and the runner give, checked in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.tokens.chat import FORMATS

IGNORED = ("max_batch_size", "trust_remote_code", "parallelize", "revision")
"""What lm-eval's command line adds for models of other kinds."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the adapter works. None means: as the device allows."""

    max_length: int | None = None
    """Positions the model may use; None: the config's max_position_embeddings."""
    truncate: str | None = None
    """`left` or `middle` cuts prompts that are too long; None makes them failed rows."""
    add_bos_token: bool | None = None
    """Whether prompts begin with BOS; None: the tokenizer's own rule, as lm-eval's HFLM does."""
    prefix_token_id: int | None = None
    """What stands before a text without context; None: BOS, or else EOS."""
    prompt_format: str = "base"
    """`base` sends the prompts of rows as they are, `chat` in the tokenizer's template."""
    system: str | None = None
    """Chat: the system message; None: what the template says by itself."""
    reasoning_budget: int | None = None
    """Chat: tokens that a thinking model may think before its answer, not scored; None: it is asked to answer at once."""
    max_gen_toks: int = 256
    """Generation budget of requests that name none."""
    batch_size: int | None = None
    """Most rows of a batch; None: as many as the budgets take."""
    batch_tokens: int | None = None
    """Tokens of a scoring batch, padding included."""
    chunk_tokens: int | None = None
    """Tokens of a sequence that enter the model at once."""
    cache_tokens: int | None = None
    """Tokens of all rows that are generated side by side."""
    deterministic: bool = False
    """Every request alone, in pieces that depend on it only: equal bits on one device, whatever else is asked."""

    @property
    def tokenizer_rules(self) -> dict[str, Any]:
        """What of it decides the ids of a prompt: arguments of `load_tokenizer`."""
        return {
            "add_bos_token": self.add_bos_token,
            "prefix_token_id": self.prefix_token_id,
            "prompt_format": self.prompt_format,
            "system": self.system,
            "reasoning_budget": self.reasoning_budget or 0,
        }

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Settings:
        """Settings from loosely typed values.

        Raises:
            UserError: an unknown name, or a value that is not allowed.
        """
        known = {field.name for field in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in given.items():
            if name in IGNORED:
                continue
            if name not in known:
                raise unknown_name("model argument", name, known, "see ropepp_eval.adapters.settings")
            values[name] = _read(name, value)
        settings = cls(**values)
        for name in ("system", "reasoning_budget"):
            if values.get(name) is not None and settings.prompt_format != "chat":
                raise UserError(f"{name} is of chat prompts; add --prompt-format chat, or leave it out")
        return settings


def _read(name: str, value: Any) -> Any:
    if value in (None, "None", ""):
        return "base" if name == "prompt_format" else None
    if name == "prompt_format":
        if value not in FORMATS:
            raise UserError(f"prompt format {value!r} is not known; it may be {' or '.join(FORMATS)}")
        return value
    if name == "system":
        return str(value)
    if name == "truncate":
        if value not in ("left", "middle"):
            raise UserError(f"truncate {value!r} is not known; it may be left or middle, or be left out")
        return value
    if name in ("add_bos_token", "deterministic"):
        if str(value).lower() not in ("true", "false", "1", "0"):
            raise UserError(f"{name} {value!r} is not known; it may be True or False")
        return str(value).lower() in ("true", "1")
    if name == "batch_size" and str(value).startswith("auto"):
        return None
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise UserError(f"{name} {value!r} is not a whole number; give one, such as {name}=8") from None
    if number < (0 if name == "prefix_token_id" else 1):
        raise UserError(f"{name} {number} is below {0 if name == 'prefix_token_id' else 1}; give a larger one")
    return number
