"""lm-eval's cache of responses (`--use_cache`), which keys a response by its request alone, held to one way of making answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, MutableMapping
from typing import Any

from ropepp_eval.adapters.settings import Settings
from ropepp_eval.errors import UserError
from ropepp_eval.rows.requests import Unanswered
from ropepp_eval.tokens.ids import Tokenizer

OWNER = "ropepp_eval: answers made by"
"""The entry of a cache that says how its answers were made."""


def claim(cache: MutableMapping[str, Any], model: Mapping[str, Any], tokenizer: Tokenizer, settings: Settings) -> None:
    """Note in an empty cache how this adapter makes answers; else compare. Rows that failed are forgotten, so that they are asked again.

    Args:
        cache: lm-eval's database: a response by the hash of its request.
        model: what the adapter says of itself (`get_model_info`); what decides no answer in it is told below.

    Raises:
        UserError: the answers were made otherwise, nobody knows how, or the model has no hash.
    """
    checkpoint = model.get("checkpoint")
    if checkpoint is None:
        raise UserError("--use_cache needs a model that was loaded from a folder, whose hash tells its answers from others")
    ours = {
        "checkpoint": f"{checkpoint['name']} ({checkpoint['sha256'][:12]})",
        "position": " ".join(str(checkpoint.get(name) or "") for name in ("position", "overruled", "scaling")).strip(),
        "tokenizer": tokenizer.sha256,
        **{name: value for name, value in model.items() if name not in ("checkpoint", "model_name", "model_num_parameters")},
        **dataclasses.asdict(settings),
    }
    theirs: dict[str, Any] = cache.get(OWNER, {})
    if not theirs and len(cache):
        raise UserError(
            "--use_cache names a file whose answers another model made, and lm-eval's cache does not tell models apart; name another file"
        )
    for name in ours if theirs else ():
        if theirs.get(name) != ours[name]:
            raise UserError(
                f"--use_cache names a file with answers of other making ({name} was {theirs.get(name)}, is {ours[name]}), and lm-eval's "
                "cache does not tell them apart; name another file for these"
            )
    cache[OWNER] = ours
    for key in [key for key, value in cache.items() if isinstance(value, Unanswered)]:
        del cache[key]
