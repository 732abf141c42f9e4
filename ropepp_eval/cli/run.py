"""`ropepp-eval run`: evaluate checkpoints on tasks at context lengths."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropepp_eval.cli.options import add_position_arguments, add_task_arguments, path
from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.inert import inert
from ropepp_eval.lengths import parse_length, parse_lengths
from ropepp_eval.words import counted

if TYPE_CHECKING:
    from ropepp_eval.runs.answering import Executor
    from ropepp_eval.runs.options import RunOptions

HELP = """Evaluate checkpoints on tasks at context lengths. The same command again goes on
where it stopped; one that asks for more goes on from what its folder holds."""
EXAMPLE = "ropepp-eval run models/demo/rope --tasks niah_single_1 --lengths 256,512 --samples 5 --out runs/first"
FORMATS = ("text", "markdown", "csv", "latex", "json", "html", "none")
PLACES = ("here", "ray")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No option has a default here: what was given is told from what was not, and `RunConfig` has the defaults."""
    _add_what(parser)
    add_computing_arguments(parser)
    group = _add_where(parser)
    group.add_argument(
        "--config", type=path, metavar="FILE", default=argparse.SUPPRESS,
        help="YAML file with any of these options; what the command line says wins",
    )  # fmt: skip
    group.add_argument(
        "--again", type=path, metavar="DIR", default=argparse.SUPPRESS,
        help="repeat the runs that made this folder, from its run.json (into it, or into --out)",
    )  # fmt: skip


def add_computing_arguments(parser: argparse.ArgumentParser) -> None:
    """How rows are answered, on how many machines, and what is done with failed ones."""
    _add_how(parser)
    _add_place(parser)
    fails = parser.add_argument_group(
        "when it fails", "finished rows are kept whatever happens; the same command goes on from there"
    )
    _switch(fails, "--retry-failed", help="ask failed rows again (default: they stay failed)")


def _group(parser: argparse.ArgumentParser, title: str, description: str | None = None) -> Any:
    group = parser.add_argument_group(title, description)
    return group, functools.partial(group.add_argument, default=argparse.SUPPRESS)


def _switch(group: Any, name: str, **more: Any) -> None:
    group.add_argument(name, action="store_true", default=argparse.SUPPRESS, **more)


def _add_what(parser: argparse.ArgumentParser) -> None:
    group, add = _group(parser, "what is evaluated")
    add(
        "checkpoints", nargs="*", type=path, metavar="CHECKPOINT",
        help="folder, hub id or name of a card (`ropepp-eval models`)",
    )  # fmt: skip
    add("--tasks", help="task and group names with commas (`ropepp-eval tasks` lists them)")
    add_task_arguments(group, default=argparse.SUPPRESS)
    add("--lengths", type=parse_lengths, help="context lengths with commas: 2k,4k,8k,16k,32k,64k")
    add("--samples", type=int, metavar="N", help="questions (rows) asked for each task and length (default 100)")
    add(
        "--detect", type=float, metavar="POINTS",
        help="as many of them as show this difference between two checkpoints (`ropepp-eval resolution`)",
    )  # fmt: skip
    add("--seed", type=int, help="seed of the rows (default 42)")
    add("--protocol", help="reference (each benchmark's own; the default) or paper (the paper's settings)")
    add(
        "--prompt-format",
        metavar="FORMAT",
        help="base (prompts as they are; the default) or chat (in the tokenizer's chat template)",
    )
    add("--system", metavar="TEXT", help="chat: the system message (default: what the template says by itself)")
    add(
        "--reasoning-budget", type=int, metavar="N",
        help="chat: tokens that a thinking model may think before its answer, not scored (default: answer at once)",
    )  # fmt: skip
    add("--data-dir", type=path, help="folder of real corpora (docs/data.md); without it generated text stands in, marked")
    _switch(group, "--repeat-text", help="use a corpus again where it is too small for a length (default: refuse)")
    add_position_arguments(group, default=argparse.SUPPRESS)
    add("--tokenizer", type=path, help="folder or hub id (default: the checkpoint's own)")
    _switch(group, "--allow-beyond-trained-length", help="allow lengths past max_position_embeddings (extrapolation)")


def _add_how(parser: argparse.ArgumentParser) -> None:
    group, add = _group(parser, "how it is computed")
    add("--device", help="cpu, cuda, cuda:1, mps (default: cuda where there is one)")
    add("--dtype", help="float32 (fp32), bfloat16 (bf16), float16 (half), float64 (default: the checkpoint's)")
    add("--attention", help="eager, sdpa, flash_attention_2, flex_attention (default sdpa)")
    add("--backend", help="native (torch; the default) or vllm")
    add("--tensor-parallel-size", type=int, metavar="N", help="vllm: processes that share the heads (default 1)")
    add(
        "--gpu-memory-utilization", type=float, metavar="SHARE",
        help="vllm: share of the GPU's memory it may take (default 0.85)",
    )  # fmt: skip
    add("--chunk", type=parse_length, metavar="TOKENS", help="tokens prefilled at once (default: chosen from memory)")
    add(
        "--truncate", metavar="WHERE",
        help="left or middle: cut prompts that are too long, and say so in every row (default: refuse)",
    )  # fmt: skip
    _switch(group, "--deterministic", help="bit-equal results on one device (docs/scoring.md says its price)")
    _switch(group, "--offline", help="never touch the network")


def _add_place(parser: argparse.ArgumentParser) -> None:
    _, add = _group(parser, "on how many machines", "docs/clusters.md; what is answered does not depend on it")
    add("--on", metavar="WHERE", help="here (this process; the default) or ray (workers on all devices of this machine)")
    add(
        "--ray-address", metavar="ADDRESS",
        help="with --on ray: a cluster that runs already, HOST:PORT or auto (default: Ray is started on this machine)",
    )  # fmt: skip
    add(
        "--gpus-per-worker",
        type=int,
        metavar="G",
        help="with --on ray: GPUs of a worker (default 1, or --tensor-parallel-size)",
    )
    add("--cpus-per-worker", type=int, metavar="C", help="with --on ray: cores and threads of a worker (default: 4 at most)")
    add("--workers", type=int, metavar="N", help="with --on ray: workers at most (default: as many as there is room for)")
    add(
        "--shard", metavar="I/N",
        help="ask part I of N alone, equal by cost; the same command without it gathers the parts",
    )  # fmt: skip


def _add_where(parser: argparse.ArgumentParser) -> Any:
    group, add = _group(parser, "where it goes, and where options come from")
    add("--out", type=path, help="run folder (default: runs/ and a name made of the settings)")
    add_showing_arguments(group)
    return group


def add_showing_arguments(group: Any) -> None:
    """What is shown of a run: its forecast, its progress, its table."""
    add = functools.partial(group.add_argument, default=argparse.SUPPRESS)
    add("--format", help=f"format of the table at the end: {', '.join(FORMATS)} (default text)")
    _switch(
        group, "--dry-run",
        help="say what it will cost (rows, tokens, disk, memory, time) and stop; nothing is written",
    )  # fmt: skip
    add("--device-model", metavar="NAME", help="--dry-run: on this device instead of this machine: h100, h200, a100, 4090")
    _switch(group, "--quiet", help="no progress, only the table")
    _switch(group, "--verbose", help="say also how the engine puts requests together")


def main(args: argparse.Namespace) -> int:
    from ropepp_eval.runs.options import options_again, options_of, read_options

    given = options_of(vars(args))
    if "config" in args:
        given = given.over(read_options(Path(args.config)))
    commands = [given]
    if "again" in args:
        commands = [given.over(earlier) for earlier in options_again(Path(args.again))]
        commands = [one if one.out else one.model_copy(update={"out": args.again}) for one in commands]
        for one in commands:
            one.check_paths(Path(args.again) / "run.json")
    style = given.format or "text"
    if style not in FORMATS:
        raise unknown_name("format", style, FORMATS, "give one with --format")
    if "device_model" in args and "dry_run" not in args:
        raise UserError("--device-model says where --dry-run takes a run to be; add --dry-run, or leave it out")
    if "dry_run" in args:
        return forecast(commands, vars(args).get("device_model"))
    return execute(commands, style)


def forecast(commands: list[RunOptions], device_model: str | None) -> int:
    """Print what each of the runs will cost."""
    if any(one.offline for one in commands):
        os.environ["HF_HUB_OFFLINE"] = "1"
    configs = [one.config() for one in commands]

    def say(line: str) -> None:
        if not configs[0].quiet:
            print(inert(line), file=sys.stderr, flush=True)

    for one, config in zip(commands, configs, strict=True):
        say(f"reading {counted(len(config.checkpoints), 'checkpoint')} ...")
        from ropepp_eval.runs.dry_run import dry_run, forecast_lines

        found = dry_run(config, device_model=device_model, retry_failed=bool(one.retry_failed), say=say)
        for line in forecast_lines(found):
            print(inert(line))
        if one.on == "ray":
            from ropepp_eval.cluster.foreseen import schedule_lines

            for line in schedule_lines(found, one.workers):
                print(inert(line))
    return 0


def execute(commands: list[RunOptions], style: str) -> int:
    """Run each of the commands, print the table of the last one's folder in this format, and give the exit status."""
    if any(one.offline for one in commands):  # before anything that reads it is imported
        os.environ["HF_HUB_OFFLINE"] = "1"
    configs = [one.config() for one in commands]
    executors = [_executor(one) for one in commands]

    def say(line: str) -> None:
        if not configs[0].quiet:
            print(inert(line), file=sys.stderr, flush=True)

    status = 0
    asked: dict[tuple[Any, ...], frozenset[int]] = {}
    for one, config, executor in zip(commands, configs, executors, strict=True):
        say(f"reading {counted(len(config.checkpoints), 'checkpoint')} ...")
        from ropepp_eval.runs.execute import run  # takes seconds; what is said above stands by then

        finished = run(config, executor=executor, retry_failed=bool(one.retry_failed), report=say)
        for cell, rows in finished.asked.items():
            asked[cell] = asked.get(cell, frozenset()) | rows
        if finished.outcome.status == "error":
            status = 1
            failures = finished.outcome.lines()
    folder = finished.folder
    if style != "none":
        print_table(str(folder), style, asked)
    say(f"rows and settings: {folder}   (ropepp-eval table {folder})")
    if status:
        for line in failures:
            print(f"failed: {inert(line)}", file=sys.stderr)
    return status


def _executor(options: RunOptions) -> Executor | None:
    """Who answers; None: this process. Raises UserError for options of workers without any."""
    from ropepp_eval.runs.options import PLACE

    given = {name: getattr(options, name) for name in PLACE if getattr(options, name) is not None}
    on = given.pop("on", "here")
    if on not in PLACES:
        raise unknown_name("place", on, PLACES, "give one with --on")
    if on == "ray":
        from ropepp_eval.cluster import RayExecutor

        return RayExecutor(**given)
    if given:
        raise UserError(f"--{next(iter(given)).replace('_', '-')} is about workers of Ray; add --on ray or leave it out")
    return None


def print_table(folder: str, style: str, asked: dict[tuple[Any, ...], frozenset[int]]) -> None:
    """The table that `ropepp-eval table FOLDER` prints, of what was asked."""
    from ropepp_eval.cli import parser_of
    from ropepp_eval.cli.table import show
    from ropepp_eval.reports.asked import only_asked
    from ropepp_eval.reports.cells import read_cells

    args = parser_of("table").parse_args([folder, "--format", style])
    show(args, only_asked(read_cells(folder), asked))
