"""Making RULER's rows: ours against lm-eval 0.4.13's generators, and (--full) the whole set, fresh and from the cache.

The pair: the same tokenizer, essays, lengths and number of rows, each side in a process of its own. A side's time is that
of its calls, as its users make them: lm-eval's hold its search for the size, ours the start of the worker processes and
what they import. What the two processes import before the first call is left out.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import _common as common

PAIRED = ("niah_single_2", "niah_multikey_2", "vt", "cwe", "fwe")
PAIR_LENGTHS = (16384, 65536)
FULL_LENGTHS = (4096, 8192, 16384, 32768, 65536)
SET_BARS = {
    "minutes for the whole set": 8,
    "GiB of memory, all processes": 2,
    "seconds from the cache, every prompt read": 5,
}


def main() -> int:
    options = common.parser(__doc__ or "")
    options.add_argument(
        "--data", required="--side" not in sys.argv, help="data folder with essays/, squad/, hotpotqa/, nltk_data/"
    )
    options.add_argument("--tokenizer", help="folder of a tokenizer; none: gpt2-tokenizer of the data folder")
    options.add_argument("--rows", type=int, help="rows of a cell, other than 250 in the pair and 500 in the whole set")
    options.add_argument("--full", action="store_true", help="also make the whole set: 13 tasks, 4k to 64k, 500 rows, twice")
    options.add_argument("--only-set", action="store_true", help="the whole set without the pair")
    given = options.parse_args()
    if given.side:
        return side(given.side, json.loads(given.settings))
    data = Path(given.data).resolve()
    settings = {"data": str(data), "tokenizer": given.tokenizer or str(data / "gpt2-tokenizer")}
    lengths = () if given.only_set else (4096,) if given.quick else PAIR_LENGTHS
    pairs = [pair(length, given.rows or (4 if given.quick else 250), given.quick, settings) for length in lengths]
    checks = []
    if pairs:
        theirs, ours = (sum(seconds[name] for seconds in pairs) for name in ("lm_eval", "ours"))
        checks.append(common.Check("times quicker, both lengths together", theirs / ours, 8, "at least"))
    whole: dict[str, float] = {}
    if given.full or given.only_set:
        whole = whole_set(given.rows or (4 if given.quick else 500), given.quick, settings)
        if given.rows is None and given.tokenizer is None:  # the bars are set for these
            checks += [common.Check(what, whole[what], bar) for what, bar in SET_BARS.items()]
    return common.finish(
        "ruler_generation",
        checks,
        quick=given.quick,
        seconds=dict(zip(map(str, lengths), pairs, strict=True)),
        whole_set=whole,
    )


def pair(length: int, rows: int, quick: bool, settings: dict[str, Any]) -> dict[str, float]:
    """Seconds of each side at a length, the five tasks together."""
    seconds = {}
    for name in ("lm_eval", "ours"):
        found = common.run_side(__file__, name, Path("."), quick, length=length, rows=rows, **settings)
        seconds[name] = sum(found["seconds"].values())
    print(f"{length} tokens, {rows} rows a task: {seconds['lm_eval'] / seconds['ours']:.1f} times quicker", flush=True)
    return seconds


def whole_set(rows: int, quick: bool, settings: dict[str, Any]) -> dict[str, float]:
    """The figures of the whole set, made and then read again."""
    lengths = [4096] if quick else list(FULL_LENGTHS)
    with tempfile.TemporaryDirectory(prefix="ropepp-rows-") as cache:
        runs = [
            common.run_side(__file__, "set", Path("."), quick, lengths=lengths, rows=rows, cache=cache, **settings)
            for _ in range(2)
        ]
    measured = (runs[0]["total"] / 60, runs[0]["bytes"] / 2**30, runs[1]["total"])
    return {**dict(zip(SET_BARS, measured, strict=True)), "processor minutes": runs[0]["processor"] / 60}


def side(name: str, settings: dict[str, Any]) -> int:
    result = {"lm_eval": lm_eval_side, "ours": our_side, "set": set_side}[name](settings)
    print(json.dumps(result))
    return 0


def lm_eval_side(settings: dict[str, Any]) -> dict[str, Any]:
    """Seconds of the generators' own calls, for the rows of each task."""
    os.environ["NLTK_DATA"] = str(Path(settings["data"]) / "nltk_data")
    import contextlib
    import io

    from lm_eval.tasks.ruler import cwe_utils, fwe_utils, niah_utils, prepare_niah, vt_utils
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(settings["tokenizer"])
    length, rows = settings["length"], settings["rows"]
    essays = "".join(path.read_text(encoding="utf-8") for path in sorted((Path(settings["data"]) / "essays").glob("*.txt")))
    needle = prepare_niah.get_haystack("needle")
    haystacks = {"niah_single_2": ("essay", re.sub(r"\s+", " ", essays).split(" ")), "niah_multikey_2": ("needle", needle)}
    example = vt_utils.sys_vartrack_w_noise_random(tokenizer=tokenizer, num_samples=1, max_seq_length=500, incremental=5)[0]

    def make(task: str, count: int) -> None:
        if task in haystacks:
            kind, haystack = haystacks[task]
            prepare_niah.generate_samples(
                haystack, tokenizer, max_seq_length=length, type_haystack=kind, type_needle_k="words", type_needle_v="numbers",
                template=niah_utils.TEMPLATE, num_samples=count,
            )  # fmt: skip
        elif task == "vt":
            vt_utils.sys_vartrack_w_noise_random(
                tokenizer=tokenizer, num_samples=count, max_seq_length=length, icl_example=example
            )
        elif task == "cwe":
            cwe_utils.sys_word_pair_random(num_samples=count, max_seq_length=length, tokenizer=tokenizer)
        else:
            fwe_utils.sys_kwext(tokenizer=tokenizer, max_seq_length=length, num_samples=count)

    seconds = {}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for task in PAIRED:
            with common.Stopwatch() as watch:
                make(task, rows)
            seconds[task] = watch.seconds
    return {"seconds": seconds}


def our_side(settings: dict[str, Any]) -> dict[str, Any]:
    """Seconds for the rows of each task, all that belongs to it included."""
    os.environ["ROPEPP_EVAL_CACHE"] = "off"
    from ropepp_eval.rows.workers import worker_count

    seconds = {}
    for task in PAIRED:
        request, build, frozen = _request(task, settings["length"], settings)
        with common.Stopwatch() as watch:
            frozen(request, build)
        seconds[task] = watch.seconds
    return {"seconds": seconds, "workers": worker_count()}


def set_side(settings: dict[str, Any]) -> dict[str, Any]:
    """All tasks at all lengths, planned as a run plans them (all rows at once), then every prompt read."""
    os.environ["ROPEPP_EVAL_CACHE"] = settings["cache"]
    from ropepp_eval.rows.catalogue import resolve_tasks

    _request("niah_single_1", 4096, settings)  # imports and the tokenizer are not what is measured
    began, rows = time.perf_counter(), []
    for length in settings["lengths"]:
        for entry in resolve_tasks(["ruler"]):
            request, build, frozen = _request(entry.name, length, settings)
            rows += frozen(request, build)
    planned = time.perf_counter() - began
    characters = sum(len(row.prompt) for row in rows)
    total = time.perf_counter() - began
    filled = [row for row in rows if row.task not in ("vt", "cwe", "qa_squad", "qa_hotpotqa")]
    return {
        "total": total,
        "planned": planned,
        "rows": len(rows),
        "tokens": sum(row.prompt_tokens for row in rows),
        "characters": characters,
        "least_fill_percent": min(100 * (row.prompt_tokens + row.max_new_tokens) / row.length_tokens for row in filled),
        "bytes": _tree_bytes(),
        "processor": sum(os.times()[:4]) + _children_seconds(),
    }


def _request(task: str, length: int, settings: dict[str, Any]) -> tuple[Any, Any, Any]:
    from ropepp_eval.rows.building import frozen_rows, request_from_metadata
    from ropepp_eval.tasks.ruler.build import build_rows

    metadata = {
        "tokenizer": settings["tokenizer"],
        "length_tokens": length,
        "samples": settings["rows"],
        "data_dir": settings["data"],
    }
    return request_from_metadata(task, metadata), build_rows, frozen_rows


def _children_seconds() -> float:
    """Seconds of the processor of children that still live."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _tree_bytes() -> int:
    """Peaks of resident memory of this process and its children, added up (so never too little)."""
    total = common.peak_bytes()
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:
            continue
        if int(fields["PPid"]) == os.getpid() and "VmHWM" in fields:
            total += int(fields["VmHWM"].split()[0]) * 1024
    return total


if __name__ == "__main__":
    sys.exit(main())
