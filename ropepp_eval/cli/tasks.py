"""`ropepp-eval tasks`: list the tasks, or show one row as the model will read it."""

from __future__ import annotations

import argparse
import json
import textwrap

from ropepp_eval.cli.options import add_task_arguments, load_task_folders, path
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.lengths import format_length, parse_length
from ropepp_eval.words import counted

HELP = "List tasks and groups, or show one row: its exact prompt, references and token counts."
EXAMPLE = "ropepp-eval tasks show niah_single_1 --length 4k --row 0 --tokenizer models/tokenizer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("action", nargs="?", choices=("list", "show"), default="list", help="list (default) or show")
    add("task", nargs="?", help="task to show")
    add("--length", type=parse_length, default=4096, help="context length of the row (default 4k)")
    add("--row", type=int, default=0, help="number of the row, from 0")
    add("--tokenizer", type=path, help="folder or hub id of the tokenizer the row is fitted with")
    add("--seed", type=int, default=42, help="seed of the rows (default 42)")
    add("--protocol", default="reference", help="reference or paper")
    add("--data-dir", type=path, help="folder of real corpora; without it generated text stands in")
    add("--repeat-text", action="store_true", help="use a corpus again where it is too small for the length")
    add("--offline", action="store_true", help="never touch the network")
    add_task_arguments(parser)
    add("--format", choices=("text", "json"), default="text", help="text (default) or json")


def main(args: argparse.Namespace) -> int:
    load_task_folders(args.task_folder)
    if args.action == "list":
        print(listing(args.format))
        return 0
    if not args.task:
        raise UserError("tasks show: no task was named; name one, such as `ropepp-eval tasks show niah_single_1`")
    if not args.tokenizer:
        raise UserError("tasks show: no tokenizer was named; give --tokenizer, a folder or hub id")
    print(shown_row(args))
    return 0


def listing(style: str) -> str:
    """All tasks by benchmark, then the groups."""
    from ropepp_eval.rows.catalogue import task_entries, task_groups

    entries, groups = task_entries(), task_groups()
    if style == "json":
        tasks = {
            name: {
                "benchmark": e.benchmark,
                "output_type": e.output_type,
                "metrics": [m.name for m in e.metrics],
                "description": e.description,
            }
            for name, e in entries.items()
        }
        return json.dumps({"tasks": tasks, "groups": {name: list(members) for name, members in groups.items()}}, indent=1)
    width = max(map(len, [*entries, *groups]))
    lines = []
    for benchmark in sorted({entry.benchmark for entry in entries.values()}):
        lines.append(benchmark)
        lines += [f"  {n:<{width}}  {e.description}" for n, e in entries.items() if e.benchmark == benchmark]
    lines.append("groups")
    for name, members in groups.items():
        text = f"  {name:<{width}}  {counted(len(members), 'task')}: {', '.join(members)}"
        lines += textwrap.wrap(text, 100, subsequent_indent=" " * (width + 4), break_on_hyphens=False)
    return "\n".join(lines)


def shown_row(args: argparse.Namespace) -> str:
    """One row as text for people or as JSON."""
    from ropepp_eval.data import open_data
    from ropepp_eval.rows.building import PROTOCOLS, frozen_rows
    from ropepp_eval.rows.catalogue import resolve_tasks
    from ropepp_eval.rows.row import RowRequest
    from ropepp_eval.tokens.tokenizer import load_tokenizer

    if args.protocol not in PROTOCOLS:
        raise UserError(f"protocol {args.protocol!r} is not known; it may be {' or '.join(PROTOCOLS)}")
    if args.row < 0:
        raise UserError(f"row {args.row} is below 0; rows are counted from 0")
    entries = resolve_tasks([args.task])
    if len(entries) > 1:
        raise UserError(f"{args.task} is a group of {len(entries)} tasks; show one of them, such as {entries[0].name}")
    request = RowRequest(
        task=entries[0].name,
        length_tokens=args.length,
        samples=args.row + 1,
        seed=args.seed,
        protocol=args.protocol,
        tokenizer=load_tokenizer(args.tokenizer),
        data=open_data(args.data_dir, offline=args.offline, repeat_text=args.repeat_text),
    )
    rows = frozen_rows(request, entries[0].build_rows())
    if args.row >= len(rows):
        raise UserError(
            f"task {args.task} has {counted(len(rows), 'row')} with this data; --row may be 0 to {len(rows) - 1}"
        )
    row = rows[args.row]
    if args.format == "json":
        return inert(json.dumps(row.as_doc() | {"sha256": row.sha256}, indent=1, ensure_ascii=False), "\n")
    used = row.prompt_tokens + row.max_new_tokens
    fill = f" = {used / row.length_tokens:.1%} of the length" if row.length_tokens else ""
    facts = [
        f"task          {row.task}, {format_length(row.length_tokens)}, row {row.row}, seed {args.seed}, protocol {args.protocol}",
        f"prompt tokens {row.prompt_tokens} + budget {row.max_new_tokens}{fill}",
        f"references    {json.dumps(list(row.references or row.choices), ensure_ascii=False)}"
        + (f", right: {row.gold}" if row.choices else ""),
        f"details       {json.dumps(dict(row.details), ensure_ascii=False)}",
        f"row sha256    {row.sha256}" + ("   (generated text stands in for the real corpus)" if row.stand_in else ""),
    ]
    prompt = inert(row.prompt, "\n\t")
    return "\n".join([*map(inert, facts), "prompt, between the lines:", "-" * 40, prompt, "-" * 40])
