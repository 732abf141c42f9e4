"""`ropepp-eval lm-eval`: lm-eval's own command line, with our models and tasks registered first (docs/lm_eval.md)."""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ropepp_eval.cli.options import add_task_arguments, load_position_modules, load_task_folders
from ropepp_eval.errors import UserError

HELP = "lm-eval's own command line with our models (ropepp, ropepp-vllm) and our tasks registered."
EXAMPLE = "ropepp-eval lm-eval --model ropepp --model_args pretrained=models/demo/rope --tasks niah_single_1@512 --limit 2"
OUR_MODELS = ("ropepp", "ropepp-vllm")
_OURS = """
What ropepp-eval adds:
  --model ropepp         our native adapter: --model_args pretrained=FOLDER,dtype=float32,...
  --model ropepp-vllm    the same requests through a vLLM engine (docs/vllm.md)
  --model hf             lm-eval's own, which reads our checkpoint folders here
  --tasks TASK@LENGTH    a task or group of ours at a context length, such as niah_single_1@4k,ruler@8k; each has its own error
  --tasks lm_eval:TASK   lm-eval's own task where ours has the same name
  --task-folder DIR      tasks of your own (docs/tasks.md); may be given again
  --position-module FILE a position embedding of your own; may be given again

lm-eval's own options (docs/lm_eval.md says how they go with our tasks):
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of lm-eval")


def main(args: argparse.Namespace) -> int:
    return main_with(args.arguments)


def main_with(arguments: list[str]) -> int:
    """Run lm-eval with these arguments of its own.

    Raises:
        UserError: an option of ours or of lm-eval's is wrong, or does not go with a task of ours.
    """
    if not arguments or arguments[0] in ("-h", "--help") or arguments in (["run"], ["run", "-h"], ["run", "--help"]):
        return _show_help(2 if not arguments else 0)
    ours, rest = own_options(arguments)
    load_position_modules(ours.position_module)
    load_task_folders(ours.task_folder)

    import ropepp_eval

    ropepp_eval.register()
    from lm_eval._cli import HarnessCLI
    from lm_eval.utils import setup_logging

    from ropepp_eval.rows.lm_eval_own import without_own_tasks
    from ropepp_eval.rows.requests import OWN_TYPES

    setup_logging()
    command_line = HarnessCLI()
    sys.argv = ["ropepp-eval lm-eval", *rest]  # lm-eval reads it there
    args = command_line.parse_args()
    with tempfile.TemporaryDirectory(prefix="ropepp-eval-tasks-") as folder, contextlib.ExitStack() as during:
        try:
            if hasattr(args, "include_path") and serve(args, Path(folder)):
                during.enter_context(without_own_tasks())
            command_line.execute(args)
        except Exception as error:
            if isinstance(error, AttributeError) and error.name in OWN_TYPES:
                raise UserError(
                    f"--model {args.model} does not answer requests of type {error.name}, which a task asks for (docs/lm_eval.md); use "
                    "--model ropepp, or leave out that task or --metadata's protocol"
                ) from error
            if not _from_lm_evals_config(error):
                raise
            raise UserError(f"ropepp-eval lm-eval: {' '.join(str(error).split())}") from error
    return 0


def _show_help(status: int) -> int:
    from lm_eval._cli import HarnessCLI

    print(f"{HELP}\n\nexample:\n  {EXAMPLE}\n{_OURS}")
    HarnessCLI()._subparsers.choices["run"].print_help()
    return status


def own_options(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options that are ours, and the arguments that are left for lm-eval."""
    parser = argparse.ArgumentParser(prog="ropepp-eval lm-eval", add_help=False, allow_abbrev=False, exit_on_error=False)
    add_task_arguments(parser)
    parser.add_argument("--position-module", action="append", default=[])
    try:
        return parser.parse_known_args([_at_home(word) for word in arguments])
    except argparse.ArgumentError as error:
        raise UserError(f"ropepp-eval lm-eval: {error}") from error


def _at_home(word: str) -> str:
    """`~` for the home folder at the begin of an argument, and of a value in `pretrained=~/mine` or in metadata as JSON."""
    return re.sub(r"""(^|[=,"'])~(?=/)""", lambda found: found[1] + os.path.expanduser("~"), word)


def _from_lm_evals_config(error: Exception) -> bool:
    """Whether lm-eval's own check of its options raised this, which is then the user's error."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return step is not None and str(step.tb_frame.f_globals.get("__name__", "")).startswith("lm_eval.config")


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """lm-eval's settings as it will read them: its `--config` file, and over it the command line."""
    from lm_eval.config.evaluate_config import EvaluatorConfig
    from lm_eval.utils import simple_parse_args_string

    settings: dict[str, Any] = EvaluatorConfig.load_yaml_config(args.config) if getattr(args, "config", None) else {}
    settings |= {name: value for name, value in vars(args).items() if value or value == 0}
    for name in ("model_args", "metadata"):
        given = settings.get(name) or {}
        settings[name] = simple_parse_args_string(given) if isinstance(given, str) else dict(given)
    tasks = settings.get("tasks") or []
    settings["tasks"] = [name for word in ([tasks] if isinstance(tasks, str) else tasks) for name in word.split(",") if name]
    return settings


def serve(args: argparse.Namespace, folder: Path) -> bool:
    """Write the tasks asked for into `folder`, which lm-eval then reads beside its own, and refuse what does not go with them.

    Returns:
        Whether they are all in `folder`, each at its length.

    Raises:
        UserError: a task or length is not known, or a switch of lm-eval's does not go with what was asked.
    """
    from ropepp_eval.rows.catalogue import task_groups
    from ropepp_eval.rows.lm_eval_lengths import write_at_length, write_stubs, write_tasks
    from ropepp_eval.rows.lm_eval_own import PREFIX, OverridesInOneSentence, write_own

    settings = settings_of(args)
    names: list[str] = settings["tasks"]
    _judge(settings)
    if args.include_path:
        write_stubs(Path(args.include_path), folder)
    all_at_length = bool(names) and all("@" in name for name in names) and not args.include_path
    if not all_at_length:
        write_tasks(folder)
    members: dict[str, list[str]] = {}
    for name in names:
        if name.startswith(PREFIX):
            write_own(name, folder)
        elif "@" in name:
            metadata = settings["model_args"] | settings["metadata"]
            members[name] = write_at_length(name, folder, metadata, _rows_asked(settings))
        else:
            members[name] = [name, *task_groups().get(name, ())]
    args.include_path = str(folder)
    _judge_samples(settings, members)
    asked = {one for found in members.values() for one in found}
    log = logging.getLogger(OverridesInOneSentence.LOGGER)
    log.filters = [one for one in log.filters if not isinstance(one, OverridesInOneSentence)]
    log.addFilter(OverridesInOneSentence(asked, lambda text: print(text, file=sys.stderr)))
    if settings.get("model") in OUR_MODELS and "device" not in settings:
        args.device = "auto"  # lm-eval's own default is cuda:0, also where there is none
    return all_at_length


def _judge(settings: Mapping[str, Any]) -> None:
    """Refuse, before anything is built or loaded, switches that don't go with the tasks or the model."""
    from ropepp_eval.rows.catalogue import task_entries, task_groups
    from ropepp_eval.rows.lm_eval_switches import refuse_other_prompts

    known = task_entries()
    ours = {*known, *(name for name, members in task_groups().items() if set(members) & set(known))}
    for name in settings["tasks"]:
        if "@" in name or fnmatch.filter(ours, name):
            refuse_other_prompts(name, settings)
    model = settings.get("model", "hf")
    if settings.get("use_cache") and model not in OUR_MODELS:
        raise UserError(
            f"--use_cache does not go with --model {model}: lm-eval's cache of responses does not tell models apart, so two checkpoints "
            "would get the same scores; leave it out, or use --model ropepp, whose answers it keeps apart"
        )


def _samples(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """`--samples` as lm-eval reads it: JSON, or the name of a file of JSON. None: every row, or what lm-eval itself will complain of."""
    given = settings.get("samples")
    if isinstance(given, str):
        file = Path(given)
        try:
            given = json.loads(file.read_text(encoding="utf-8") if file.is_file() else given)
        except json.JSONDecodeError as error:
            raise UserError(
                f"--samples {given!r} is neither JSON nor a file of it ({error}); give '{{\"TASK@4k\": [0, 3]}}'"
            ) from error
    if given is not None and not isinstance(given, dict):
        raise UserError(f"--samples {given!r} names no task; give '{{\"TASK@4k\": [0, 3]}}'")
    return given


def _rows_asked(settings: Mapping[str, Any]) -> int | None:
    """How many rows a task are going to be built at most; None: all."""
    samples, limit = _samples(settings), settings.get("limit")
    if samples:
        return max((number + 1 for rows in samples.values() for number in rows if isinstance(number, int)), default=None)
    return int(limit) if limit and limit >= 1 else None


def _judge_samples(settings: Mapping[str, Any], members: Mapping[str, list[str]]) -> None:
    """lm-eval asks all rows of a task that `--samples` does not name, and passes over a name that is no task: both are refused for ours."""
    samples = _samples(settings)
    if samples is None or not all("@" in name for name in settings["tasks"]):
        return
    asked = [one for found in members.values() for one in found]
    for name in samples:
        if name not in asked:
            raise UserError(
                f"--samples names {name!r}, which is none of the tasks asked for ({', '.join(asked)}); name them as they are there"
            )
    for name in asked:
        if name not in samples:
            raise UserError(
                f"--samples names no rows of {name}, of which lm-eval would then ask all; give some, or leave the task out"
            )
