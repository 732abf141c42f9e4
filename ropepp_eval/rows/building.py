"""Rows built once, checked, and kept: the same (task, length, seed, tokenizer, data) never builds twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length, parse_length
from ropepp_eval.rows.cache_key import cache_file
from ropepp_eval.rows.catalogue import task_entries
from ropepp_eval.rows.files import read_rows, write_rows
from ropepp_eval.rows.row import Row, RowBuilder, RowRequest
from ropepp_eval.tokens.chat import FORMATS, chat_text
from ropepp_eval.tokens.counting import piece_counter

if TYPE_CHECKING:
    from ropepp_eval.tokens.tokenizer import Tokenizer

DEFAULT_SAMPLES = 100
DEFAULT_SEED = 42
PROTOCOLS = ("reference", "paper")
_MOST_FITS = 4


def request_from_metadata(task: str, metadata: Mapping[str, Any]) -> RowRequest:
    """A `RowRequest` from lm-eval's metadata (which holds the model's arguments too).

    Raises:
        UserError: no tokenizer was named, or a value is not allowed.
    """
    from ropepp_eval.data import open_data
    from ropepp_eval.tokens.tokenizer import load_tokenizer

    tokenizer = metadata.get("tokenizer") or metadata.get("pretrained")
    if not tokenizer:
        raise UserError(
            f"task {task}: no tokenizer to fit the rows with; "
            'give one, such as --metadata \'{"tokenizer": "gpt2", "length_tokens": 4096}\''
        )
    protocol = str(metadata.get("protocol", "reference"))
    if protocol not in PROTOCOLS:
        raise UserError(f"protocol {protocol!r} is not known; it may be {' or '.join(PROTOCOLS)}")
    return RowRequest(
        task=task,
        length_tokens=parse_length(metadata.get("length_tokens", 4096)),
        samples=int(metadata.get("samples", DEFAULT_SAMPLES)),
        seed=int(metadata.get("seed", DEFAULT_SEED)),
        protocol=protocol,
        tokenizer=load_tokenizer(str(tokenizer), **tokenizer_rules(metadata)),
        data=open_data(
            metadata.get("data_dir"),
            offline=bool(metadata.get("offline", False)),
            repeat_text=bool(metadata.get("repeat_text", False)),
        ),
    )


def tokenizer_rules(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The model arguments that decide the ids of a prompt, as `load_tokenizer` takes them; texts are read as --model_args gives them.

    Raises:
        UserError: a value is not allowed.
    """
    given = (settings.get(name) for name in ("add_bos_token", "prefix_token_id"))
    bos, prefix = ("none" if value in (None, "") else str(value).lower() for value in given)
    truth = {"none": None, "true": True, "1": True, "false": False, "0": False}
    if bos not in truth:
        raise UserError(f"add_bos_token {bos!r} is not known; it may be True or False")
    if not (prefix.isdecimal() or prefix == "none"):
        raise UserError(f"prefix_token_id {prefix!r} is no token id; give a whole number, such as 0")
    rules: dict[str, Any] = {"add_bos_token": truth[bos], "prefix_token_id": None if prefix == "none" else int(prefix)}
    return rules | _chat_rules({name: value for name, value in settings.items() if value not in (None, "None", "")})


def _chat_rules(settings: Mapping[str, Any]) -> dict[str, Any]:
    format_, system = settings.get("prompt_format", "base"), settings.get("system")
    budget = str(settings.get("reasoning_budget", 0))
    if format_ not in FORMATS:
        raise UserError(f"prompt format {format_!r} is not known; it may be {' or '.join(FORMATS)}")
    if not budget.isdecimal():
        raise UserError(f"reasoning_budget {budget!r} is no number of tokens; give a whole number, such as 2048")
    return {"prompt_format": format_, "system": None if system is None else str(system), "reasoning_budget": int(budget)}


def frozen_rows(request: RowRequest, build: RowBuilder) -> list[Row]:
    """The rows of `request`, each within its budget: from the cache (see `row_cache` and `row_files`), or built and kept there.

    Raises:
        UserError: the task can't be built at this length or with this data.
        ValueError: a builder made a row over its length (a bug of ours, never cut in silence).
    """
    if request.length_tokens == 0:
        _check_zero_length(request.task)
    if request.tokenizer.chat is not None:
        _check_is_asked(request.task)
    path = cache_file(request, build)

    def rebuild() -> list[Row]:
        if request.tokenizer.chat is not None:
            return _chat_rows(request, build)
        return [with_special_tokens(row, request.tokenizer) for row in build(request)]

    rows = read_rows(path, request.samples, rebuild) if path else None
    if rows is None:
        rows = rebuild()
        for row in rows:
            check_budget(row)
        if path and rows:
            write_rows(path, rows, request.samples)
            rows = read_rows(path, request.samples, rebuild) or rows  # the prompts need no memory then
    if not rows:
        where = format_length(request.length_tokens)
        raise UserError(f"task {request.task} has no row at {where}; ask for --samples of 1 or more")
    return rows


def _chat_rows(request: RowRequest, build: RowBuilder) -> list[Row]:
    """Rows in the tokenizer's chat template; smaller ones where template and prompt together come out longer than each alone."""
    for _ in range(_MOST_FITS):
        rows = [in_chat(row, request.tokenizer) for row in build(request)]
        over = max((row.prompt_tokens + row.max_new_tokens - request.length_tokens for row in rows), default=0)
        if over <= 0 or request.length_tokens == 0:
            break
        request = replace(request, kept_free_tokens=request.kept_free_tokens + over)
    return rows


def in_chat(row: Row, tokenizer: Tokenizer) -> Row:
    """A builder's row as it enters a chat model: the template around its prompt, the reasoning budget in its own."""
    assert tokenizer.chat is not None
    text = chat_text(tokenizer, row.prompt, row.answer_prefix)
    return replace(
        row,
        prompt=text,
        prompt_tokens=piece_counter(tokenizer).count(text) + tokenizer.added_tokens(text),
        max_new_tokens=row.max_new_tokens + tokenizer.chat.reasoning_budget,
        answer_prefix="",
        details={**row.details, "question": row.question, "prompt_format": "chat"},
    )


def _check_is_asked(task: str) -> None:
    """In chat only what is asked and answered makes sense; a text that is scored has no turn."""
    entries = task_entries()
    if task in entries and entries[task].output_type != "generate_until":
        raise UserError(
            f"task {task} scores a given text, which no chat holds; leave it out, or use --prompt-format base for it"
        )


def _check_zero_length(task: str) -> None:
    """Only of some tasks a row without any text around what is asked for is a row at all."""
    entries = task_entries()
    if task not in entries or not entries[task].zero_length:
        having = sorted({entry.benchmark for entry in entries.values() if entry.zero_length})
        raise UserError(f"task {task} has no length 0k (tasks of {', '.join(having)} have one); ask for 4k")


def with_special_tokens(row: Row, tokenizer: Tokenizer) -> Row:
    """A builder's row with `prompt_tokens` as the adapters send them: special tokens included, and for scored choices without the blanks
    at the prompt's end, which move to the choices."""
    text, tokens = row.prompt, row.prompt_tokens
    if row.choices and text != text.rstrip():
        text = text.rstrip()
        tokens = tokenizer.count(text)
    tokens += tokenizer.added_tokens(text)
    if not text and (row.choices or row.max_new_tokens):
        tokens = 1  # the prefix token
    return row if tokens == row.prompt_tokens else replace(row, prompt_tokens=tokens)


def check_budget(row: Row) -> None:
    """Fail loudly where prompt and generation budget are over the row's length."""
    if row.window_tokens or row.length_tokens == 0:
        return  # read through windows of the length, not at once; or 0k: without text around, as long as it is
    need = row.prompt_tokens + row.max_new_tokens
    if need > row.length_tokens:
        raise ValueError(
            f"row {row.row} of {row.task} holds {row.prompt_tokens} prompt tokens and a budget of "
            f"{row.max_new_tokens}, over its length of {row.length_tokens}; this is a bug in the task"
        )
