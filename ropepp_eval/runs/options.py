"""The options of `ropepp-eval run` from wherever they come: the command line, a file (`--config`), an earlier run (`--again`).

Importing this module imports nothing heavy: the command line reads options before torch is there.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, field_validator

from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.lengths import parse_length
from ropepp_eval.manifests import parse_manifest
from ropepp_eval.outside import Items, Outside, checked, parse_yaml, read_bytes, shown

if TYPE_CHECKING:
    from ropepp_eval.runs.config import RunConfig

Texts = str | Items[str]
_ADAPTER = {"chunk": "chunk_tokens", "truncate": "truncate", "deterministic": "deterministic"} | {
    name: name for name in ("tensor_parallel_size", "gpu_memory_utilization", "prompt_format", "system", "reasoning_budget")
}
"""Options that are settings of the adapter, and their names there."""
PLACE = ("on", "ray_address", "gpus_per_worker", "cpus_per_worker", "workers")
"""Options that say where rows are answered; no part of what a run is, so `run.json` does not hold them."""
_NOT_OF_THE_RUN = ("detect", "retry_failed", "format", "adapter_options", *_ADAPTER, *PLACE)
ALSO_CALLED = {
    "limit": "samples", "num_samples": "samples", "output_path": "out", "output": "out", "output_dir": "out",
    "length": "lengths", "max_length": "lengths", "task": "tasks", "model": "checkpoints", "pretrained": "checkpoints",
    "checkpoint": "checkpoints", "include_path": "task_folder", "resume": "out",
}  # fmt: skip
"""What other programs call our options."""


class RunOptions(Outside):
    """Options that were given; None where one was not. Each is what the flag of its name is on the command line."""

    model_config = ConfigDict(extra="forbid")

    checkpoints: Texts | None = None
    tasks: Texts | None = None
    task_folder: Texts | None = None
    lengths: str | int | Items[str | int] | None = None
    samples: int | None = None
    detect: float | int | None = None
    seed: int | None = None
    protocol: str | None = None
    prompt_format: str | None = None
    system: str | None = None
    reasoning_budget: Annotated[int, Field(ge=1)] | None = None
    data_dir: str | None = None
    repeat_text: bool | None = None
    offline: bool | None = None
    position: str | None = None
    position_module: Texts | None = None
    tokenizer: str | None = None
    allow_beyond_trained_length: bool | None = None
    device: str | None = None
    dtype: str | None = None
    attention: str | None = None
    backend: str | None = None
    tensor_parallel_size: Annotated[int, Field(ge=1)] | None = None
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    chunk: int | str | None = None
    truncate: str | None = None
    deterministic: bool | None = None
    shard: str | None = None
    on: str | None = None
    ray_address: str | None = None
    gpus_per_worker: Annotated[int, Field(ge=1)] | None = None
    cpus_per_worker: Annotated[int, Field(ge=1)] | None = None
    workers: Annotated[int, Field(ge=1)] | None = None
    adapter_options: dict[str, Any] | None = None
    """Further settings of the adapter by their own names, such as batch_size."""
    out: str | None = None
    format: str | None = None
    quiet: bool | None = None
    verbose: bool | None = None
    retry_failed: bool | None = None
    grouped: Items[str] | None = None
    """Of an earlier run: the tasks that only their group named."""

    @field_validator("lengths", "chunk")
    @classmethod
    def _lengths(cls, value: Any) -> Any:
        for one in value.split(",") if isinstance(value, str) else value if isinstance(value, tuple) else [value]:
            if one is not None:
                try:
                    parse_length(one)
                except UserError as error:
                    raise ValueError(str(error)) from None
        return value

    def over(self, others: RunOptions) -> RunOptions:
        """These options, and for what they leave open the others."""
        given = {name: value for name, value in self if value is not None}
        settings = {**(others.adapter_options or {}), **(self.adapter_options or {})}
        if "tasks" in given:
            others = others.model_copy(update={"grouped": None})
        if "samples" in given or "detect" in given:
            others = others.model_copy(update={"samples": None, "detect": None})
        return others.model_copy(update={**given, **({"adapter_options": settings} if settings else {})})

    def config(self) -> RunConfig:
        """The run that these options ask for. Raises UserError where one can't be."""
        from ropepp_eval.runs.config import RunConfig

        given = {name: value for name, value in self if value is not None}
        adapter = {**given.get("adapter_options", {})}
        adapter |= {inner: given[name] for name, inner in _ADAPTER.items() if given.get(name)}
        if "chunk_tokens" in adapter:
            adapter["chunk_tokens"] = parse_length(adapter["chunk_tokens"])
        if self.detect is not None:
            given["samples"] = self._rows_for(self.detect)
        checkpoints = _several(given.pop("checkpoints", ()))
        settings = {name: value for name, value in given.items() if name not in _NOT_OF_THE_RUN}
        return RunConfig.of(*checkpoints, **settings, adapter_options=adapter)

    def _rows_for(self, points: float) -> int:
        from ropepp_eval.resolution import rows_needed

        if self.samples is not None:
            raise UserError("--samples and --detect both set the rows a cell; give one of the two")
        return rows_needed(points / 100)

    def check_paths(self, source: Path) -> None:
        """Raise UserError that names every path of an earlier run that is not on this machine."""
        gone = [f"checkpoint {inert(name)}" for name in _several(self.checkpoints) if _is_gone(name)]
        for option, value in (("--tokenizer", self.tokenizer), ("--data-dir", self.data_dir)):
            gone += (
                [f"{option} {inert(value)}"]
                if value and (_is_gone(value) or (option == "--data-dir" and not _is_here(value)))
                else []
            )
        for option, values in (("--task-folder", self.task_folder), ("--position-module", self.position_module)):
            gone += [f"{option} {inert(value)}" for value in _several(values) if not _is_here(value)]
        if gone:
            raise UserError(
                f"{inert(source)} names what is not on this machine: {', '.join(gone)}; name them anew on the command line, "
                "which wins over the file"
            )


def options_of(given: Mapping[str, Any]) -> RunOptions:
    """What argparse found, and only that. Raises UserError for a number that can't be."""
    known = {name: value for name, value in given.items() if name in RunOptions.model_fields}
    known |= {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
    return checked(known, RunOptions, "ropepp-eval run", advice="`ropepp-eval run --help` explains it")


def read_options(file: Path) -> RunOptions:
    """The options of a YAML file; dashes in a name are as good as underscores.

    Raises:
        UserError: it can't be read, has an option that is none (near matches are named), or a value that can't be.
    """
    content = parse_yaml(read_bytes(file), inert(file))
    if not isinstance(content, dict):
        raise UserError(f"{inert(file)} is {shown(content)}; it must be a mapping of options, such as `tasks: ruler`")
    names = [name for name in RunOptions.model_fields if name != "grouped"]
    options: dict[str, Any] = {}
    for written, value in content.items():
        name = str(written).replace("-", "_")
        if name not in names:
            raise unknown_option(
                f"{inert(file)}: unknown option", str(written), names, "`ropepp-eval run --help` explains them"
            )
        options[name] = value
    return _home(checked(options, RunOptions, inert(file)))


def unknown_option(what: str, written: str, names: Iterable[str], next_step: str) -> UserError:
    """An error that names the option that was meant, also where another program calls it so. Dashes are as good as underscores."""
    dashes = "--" if written.startswith("--") else ""
    name = written.lstrip("-").replace("-", "_")
    known = {name.lstrip("-").replace("-", "_"): name for name in names}
    near = [ALSO_CALLED[name]] if ALSO_CALLED.get(name) in known else difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(known[one] for one in near)}? " if near else ""
    return UserError(f"{what} {inert(dashes + written.lstrip('-'))!r}; {hint}{next_step}")


def options_again(folder: Path) -> list[RunOptions]:
    """The commands that made a run folder, oldest first, as its `run.json` holds them.

    Raises:
        UserError: there is none, or another release wrote it in a way that this one can't repeat.
    """
    file = folder / "run.json"
    if not file.is_file():
        raise UserError(f"{inert(folder)} holds no run.json; --again takes a folder that `ropepp-eval run --out` made")
    manifest, reason = parse_manifest(read_bytes(file))
    if manifest is None:
        raise UserError(f"{inert(file)} can't be repeated: it is {reason}; repeat it with the release that made it")
    commands = [one["arguments"] for one in manifest.get("history", [])] or [manifest.get("arguments", {})]
    release = inert(manifest.get("versions", {}).get("ropepp_eval", "an earlier release"))
    return [_repeated(arguments, f"{inert(file)} (made by ropepp-eval {release})") for arguments in commands]


def _repeated(arguments: Mapping[str, Any], where: str) -> RunOptions:
    options = {name: value for name, value in arguments.items() if name not in ("out", "adapter_options")}
    unknown = next((name for name in options if name not in RunOptions.model_fields), None)
    if unknown is not None or not options:
        what = f"has an argument {shown(unknown)} that this release does not know" if options else "holds no arguments"
        raise UserError(f"{where} {what}; repeat it with the release that made it")
    pairs = arguments.get("adapter_options") or ()
    settings = dict(pairs) if all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs) else {"": pairs}
    return checked(
        {**options, "adapter_options": settings}, RunOptions, where, advice="repeat it with the release that made it"
    )


def _home(options: RunOptions) -> RunOptions:
    """`~` in the paths of a file is the home folder, as on the command line."""
    paths = ("checkpoints", "tokenizer", "data_dir", "out", "task_folder", "position_module")
    given = {name: getattr(options, name) for name in paths if getattr(options, name) is not None}
    return options.model_copy(
        update={
            name: os.path.expanduser(value) if isinstance(value, str) else tuple(map(os.path.expanduser, value))
            for name, value in given.items()
        }
    )


def _several(value: Texts | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


def _is_here(path: str) -> bool:
    return Path(path).expanduser().exists()


def _is_gone(name: str) -> bool:
    """Whether a name is a path that is not here: hub ids and cards have one slash at most, and begin with a letter."""
    path = name.startswith((".", "/", "~")) or name.count("/") > 1
    return path and not _is_here(name)
