"""One row whole: question, references, answers, score and its rule, depth, ledger, and the prompt made again."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.reports.cells import Cells
from ropepp_eval.reports.naming import checkpoint_labels
from ropepp_eval.reports.row_frame import finite, line_of
from ropepp_eval.reports.row_views import RowView
from ropepp_eval.reports.text import output_width
from ropepp_eval.rows.scorers import scorer_in_words, scorer_sha256
from ropepp_eval.runs.prompts import Prompts
from ropepp_eval.runs.stored_rows import task_of_record

END_CHARACTERS = 600
"""Of the prompt's beginning and of its end that are shown."""
_RULE = "-" * 40


def shown_as_text(views: Sequence[RowView], cells: Cells, *, tokenizer: str | None, data_dir: str | None) -> str:
    """A row as one or several checkpoints answered it, for people: what was asked once, then each answer, then the prompt."""
    width = output_width()
    labels, first = checkpoint_labels(cells.cells), views[0]
    record, name = first.record, first.cell.name
    facts = [
        ("row", f"{name.task} at {name.length}, row {record['row']}, seed {record.get('seed')}, protocol {name.protocol}"),
        ("question", first.question or "not kept in the line; the prompt's end below shows it"),
        ("references", json.dumps(first.references, ensure_ascii=False)),
        *([("choices", json.dumps(record["choices"], ensure_ascii=False))] if record.get("choices") else []),
        ("depth", ", ".join(f"{depth:.1f} %" for depth in first.depths) or "not known"),
        (
            "row sha256",
            record["row_sha256"] + ("   (generated text stands in for the real corpus)" if record.get("stand_in") else ""),
        ),
    ]
    lines = [*_aligned(facts, width)]
    for view in views:
        lines += ["", f"{labels[view.checkpoint]} (number {view.number})", *_aligned(_answer_facts(view), width)]
    return "\n".join([*lines, "", *_prompt_lines(first, tokenizer, data_dir)]) + "\n"


def _aligned(facts: Sequence[tuple[str, str]], width: int | None) -> list[str]:
    """Facts below each other, each inert and folded to the width."""
    lines = [f"{name:<11} {inert(value)}" for name, value in facts]
    return [
        part
        for line in lines
        for part in (textwrap.wrap(line, max(40, width), subsequent_indent=" " * 12) if width else [line])
    ]


def _answer_facts(view: RowView) -> list[tuple[str, str]]:
    record = view.record
    tokens = [record.get(name) for name in ("prompt_tokens", "new_tokens", "budget")]
    scores = ", ".join(f"{name} {json.dumps(score)}" for name, score in (record.get("scores") or {}).items())
    said = "failed" if view.failure else json.dumps(view.answer, ensure_ascii=False)
    return [
        ("answer", said),
        *([("failure", view.failure)] if view.failure else []),
        ("score", f"{scores or 'none'} ({view.outcome} by {view.metric})"),
        ("rule", _rule_of(record)),
        (
            "tokens",
            f"prompt {tokens[0]}, new {tokens[1]} of a budget of {tokens[2]}; finish {record.get('finish')}; cut {record.get('cut')}",
        ),
        ("time", "not known" if record.get("seconds") is None else f"{record['seconds']:.3f} s"),
        ("ids sha256", str(record.get("prompt_sha256"))),
    ]


def _rule_of(record: Mapping[str, Any]) -> str:
    """Which function scores the task's rows, and whether it is still the one that scored this row."""
    try:
        task = task_of_record(record["task"])
        rule, now = scorer_in_words(task), scorer_sha256(task)
    except UserError as error:
        return f"not here ({error})"
    stored = record.get("scorer_sha256")
    if stored == now:
        return rule
    return f"{rule} ({'changed since; ' if stored else 'the line does not say in which version; '}`ropepp-eval rescore` scores again)"


def _prompt_lines(view: RowView, tokenizer: str | None, data_dir: str | None) -> list[str]:
    prompt, why = _prompt_of(view, tokenizer, data_dir)
    if prompt is None:
        return [f"prompt      can't be made again: {inert(why)}"]
    head, left_out, tail = _ends(prompt)
    between = [f"[{left_out:,} characters]"] if left_out else []
    shown = [inert(part, "\n\t") for part in (head, *between, tail) if part]
    return [f"prompt, made again and the same by the row's hash ({len(prompt):,} characters):", _RULE, *shown, _RULE]


def _ends(prompt: str) -> tuple[str, int, str]:
    """Beginning, how many characters are left out, end."""
    if len(prompt) <= 2 * END_CHARACTERS:
        return prompt, 0, ""
    return prompt[:END_CHARACTERS], len(prompt) - 2 * END_CHARACTERS, prompt[-END_CHARACTERS:]


def _prompt_of(view: RowView, tokenizer: str | None, data_dir: str | None) -> tuple[str | None, str]:
    """The prompt, or None and why it can't be made again."""
    try:
        return Prompts(tokenizer=tokenizer, data_dir=data_dir).of(view), ""
    except UserError as error:
        return None, str(error)


def shown_as_json(views: Sequence[RowView], cells: Cells, *, tokenizer: str | None, data_dir: str | None) -> str:
    """The same for the next program."""
    prompt, why = _prompt_of(views[0], tokenizer, data_dir)
    head, left_out, tail = _ends(prompt or "")
    ends = {"characters": len(prompt or ""), "head": head, "left_out": left_out, "tail": tail}
    content = {
        "format": 1,
        "rows": [
            {
                **line_of(view),
                "scores": finite(view.record.get("scores")),
                "rule": _rule_of(view.record),
                "details": view.record.get("details"),
            }
            for view in views
        ],
        "prompt": None if prompt is None else ends,
        "prompt_missing": why or None,
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"
