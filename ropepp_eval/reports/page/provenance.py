"""Where the rows come from: hashes, versions, commit, device, kernels, settings, events, and the command that repeats a run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ropepp_eval.inert import inert
from ropepp_eval.lengths import format_length
from ropepp_eval.reports.page.parts import Fact, RunFacts
from ropepp_eval.reports.reading import RunFolder

_OF_THE_ADAPTER = {"chunk_tokens": "chunk"}
"""Options of `run` that have another name in `run.json`."""
_SAID_ELSEWHERE = {"model_name", "model_num_parameters"}
_NO_OPTIONS = {"checkpoints", "adapter_options", "grouped", "quiet"}


def run_facts(run: RunFolder) -> RunFacts:
    """What `run.json` says of a run."""
    manifest = run.manifest
    plain = [
        ("run", run.name),
        ("begun", manifest.get("created")),
        ("finished", manifest.get("finished")),
        ("commit", _commit(manifest)),
        ("seed", manifest.get("seed")),
        ("data", manifest.get("data_sha256") or "generated text in place of corpora" if "data_sha256" in manifest else None),
    ]
    facts = [Fact(name, inert(value)) for name, value in plain if value is not None]
    for name in ("settings", "versions"):
        if manifest.get(name):
            facts.append(Fact(name, _listed(manifest[name])))
    ran = {
        one: {k: v for k, v in facts.items() if k not in _SAID_ELSEWHERE} for one, facts in manifest.get("ran", {}).items()
    }
    facts += _alike("ran with", ran)
    facts += _alike(
        "tokenizer", {one: {"sha256": kind.get("sha256")} for one, kind in manifest.get("tokenizers", {}).items()}
    )
    for checkpoint, events in manifest.get("events", {}).items():
        facts += [Fact(f"{inert(checkpoint)} event", inert(event)) for event in events]
    facts += [Fact("failures", inert(line)) for line in manifest.get("failures", [])]
    status = inert(
        manifest.get("status") or ("read from lm-eval's files" if "harness" in manifest.get("settings", {}) else "unknown")
    )
    return RunFacts(inert(Path(run.folder).name), status, command_of(manifest.get("arguments", {})), tuple(facts))


def _alike(what: str, by_checkpoint: Mapping[str, Mapping[str, Any]]) -> list[Fact]:
    """What checkpoints have in common, said once."""
    names: dict[str, list[str]] = {}
    for checkpoint, values in by_checkpoint.items():
        names.setdefault(_listed(values), []).append(inert(checkpoint))
    return [Fact(f"{what}: {', '.join(having)}", values) for values, having in names.items()]


def _commit(manifest: Mapping[str, Any]) -> str | None:
    commit = manifest.get("commit")
    return None if commit is None else f"{commit}{' with changes that were not committed' if manifest.get('dirty') else ''}"


def _listed(values: Mapping[str, Any]) -> str:
    parts = (f"{name} {value if isinstance(value, str) else json.dumps(value)}" for name, value in values.items())
    return inert(", ".join(parts))


def command_of(arguments: Mapping[str, Any]) -> str:
    """The command line of a run, from the arguments that it wrote down; empty where there are none."""
    if not arguments.get("checkpoints"):
        return ""
    words = ["ropepp-eval", "run", *map(str, arguments["checkpoints"])]
    given = {name: value for name, value in arguments.items() if name not in _NO_OPTIONS}
    given |= {_OF_THE_ADAPTER.get(name, name): value for name, value in arguments.get("adapter_options", ())}
    for name, value in given.items():
        if value is None or value is False or value == [] or value == ():
            continue
        words.append("--" + name.replace("_", "-"))
        if name == "lengths":
            words.append(",".join(format_length(length) for length in value))
        elif isinstance(value, (list, tuple)):
            words.append(",".join(map(str, value)))
        elif value is not True:
            words.append(str(value))
    return inert(shlex.join(words))
