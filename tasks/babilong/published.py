"""The rows that BABILong's authors published (`RMT-team/babilong`), where the data folder holds them."""

from __future__ import annotations

from ropepp_eval.data.left_out import noted
from ropepp_eval.data.published_babilong import read_published
from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length
from ropepp_eval.rows.row import Row
from ropepp_eval.tasks.babilong.cell import Cell


def published_rows(cell: Cell) -> list[Row] | None:
    """The published rows of a cell, None where the folder has none of this task and length.

    Nothing says where their facts stand, so their details hold no positions. Each row is its own cluster: stories are not
    named either.

    Raises:
        UserError: a row is over the length with this tokenizer (rows are never cut).
    """
    length = cell.request.length_tokens
    found = read_published(cell.request.data, cell.task, format_length(length))
    if found is None:
        return None
    records, left_out = found
    rows = []
    for number, record in enumerate(records[: cell.request.samples]):
        prompt = cell.fill(record.input, record.question)
        tokens = cell.request.tokenizer.count(prompt)
        if not cell.facts_only and tokens > cell.prompt_limit:
            raise UserError(
                f"task {cell.request.task}: published row {number} of {format_length(length)} needs "
                f"{tokens + length - cell.prompt_limit} tokens with this tokenizer; take babilong/ out of the data folder "
                "to have rows fitted to the length, or use another tokenizer"
            )
        rows.append(
            Row(
                task=cell.request.task,
                length_tokens=length,
                row=number,
                prompt=prompt,
                prompt_tokens=tokens,
                references=(record.target,),
                max_new_tokens=cell.settings.max_new_tokens,
                cluster=f"published/{cell.task}/{number}",
                details=noted(
                    {"source": "published", "question": record.question, "scoring": cell.settings.scoring}, left_out
                ),
            )
        )
    return rows
