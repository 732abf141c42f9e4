"""Workers on Ray: two over one, what tiny rows cost more than in one process, and the driver's memory at many rows.

(Not called `ray.py`: Ray puts the script's folder on the path of its workers, which would then import this file for Ray.)
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _common as common

TINY = str(Path(__file__).parents[1] / "models" / "demo" / "rope")
CELLS = {
    "scaling": {"tasks": "niah_single_1", "lengths": "2k", "samples": 60},
    "tiny rows": {"tasks": "niah_single_1", "lengths": "320", "samples": 2000},
}
QUICK = {"scaling": {"samples": 6}, "tiny rows": {"samples": 40}}


def main() -> int:
    options = common.parser(__doc__ or "")
    options.add_argument("--rounds", type=int, default=3, help="of each comparison; the median counts (default 3)")
    options.add_argument("--rows", type=int, default=100_000, help="for the driver's memory (default 100,000)")
    options.add_argument("--only", help="scaling, tiny or memory")
    given = options.parse_args()
    if given.side:
        print(json.dumps(SIDES[given.side](Path(given.folder), given.quick, **json.loads(given.settings))))
        return 0
    os.environ.update(
        OMP_NUM_THREADS="1", RAY_USAGE_STATS_ENABLED="0", ROPEPP_EVAL_CACHE=tempfile.mkdtemp(prefix="bench-rows-")
    )
    rounds, checks, more = 1 if given.quick else given.rounds, [], {}

    def side(name: str, **settings: Any) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="bench-ray-") as folder:
            return common.run_side(__file__, name, Path(folder), given.quick, **settings)

    if given.only in (None, "scaling"):
        pairs = [
            (side("cluster", what="scaling", workers=1), side("cluster", what="scaling", workers=2)) for _ in range(rounds)
        ]
        ratio = statistics.median(one["seconds"] / two["seconds"] for one, two in pairs)
        checks.append(common.Check("two workers of one thread over one, 60 rows of 2k", ratio, 1.8, "at least"))
    if given.only in (None, "tiny"):
        pairs = [(side("here", what="tiny rows"), side("cluster", what="tiny rows", workers=1)) for _ in range(rounds)]
        ratio = statistics.median(ray["seconds"] / here["seconds"] - 1 for here, ray in pairs)
        checks.append(common.Check("2,000 tiny rows by one worker take more than in one process by", ratio, 0.15))
    if given.only in (None, "memory"):
        found = side("memory", rows=2000 if given.quick else given.rows)
        more["memory"] = found
        checks.append(common.Check(f"peak of the driver at {found['rows']:,} rows, GiB", found["peak_bytes"] / 2**30, 1.5))
    return common.finish("ray_workers", checks, quick=given.quick, **more)


def _config(folder: Path, what: str, quick: bool) -> Any:
    from ropepp_eval.runs.config import RunConfig

    cell: dict[str, Any] = {**CELLS[what], **(QUICK[what] if quick else {})}
    return RunConfig.of(
        TINY, out=folder / "run", device="cpu", offline=True, quiet=True, allow_beyond_trained_length=True, **cell
    )


def here(folder: Path, quick: bool, what: str) -> dict[str, Any]:
    """Seconds from the first row to the last, by this process."""
    from ropepp_eval.runs.answering import ThisProcess

    return _timed(_config(folder, what, quick), ThisProcess)


def cluster(folder: Path, quick: bool, what: str, workers: int) -> dict[str, Any]:
    """The same by workers of one thread each, whose start and loading is not counted."""
    from ropepp_eval.cluster import RayExecutor

    return _timed(_config(folder, what, quick), RayExecutor, workers=workers, cpus_per_worker=1)


def _timed(config: Any, kind: Any, **settings: Any) -> dict[str, Any]:
    """The rate between the end of the first tenth of the rows, when all workers are at work, and the end, as seconds for all rows."""
    from time import perf_counter

    from ropepp_eval.runs.execute import run

    times: list[float] = []

    class Watched(kind):  # type: ignore[misc]
        def answers(self, plan: Any, pending: Any, watch: Any) -> Iterator[Any]:
            for answered in super().answers(plan, pending, watch):
                yield answered
                times.append(perf_counter())  # the row is stored

    run(config, executor=Watched(**settings))
    begin = len(times) // 10
    return {"seconds": (times[-1] - times[begin]) / (len(times) - 1 - begin) * len(times), "rows": len(times)}


def memory(folder: Path, quick: bool, rows: int) -> dict[str, Any]:
    """Peak memory of a driver with so many rows of five tasks at 256 tokens: planned, cut, shipped, answered, stored.

    Its workers answer each row at once with an empty text, so that the time goes into what is measured."""
    from ropepp_eval.adapters.answers import Answer
    from ropepp_eval.cluster import RayExecutor, member
    from ropepp_eval.cluster.worker import Done, Worker
    from ropepp_eval.runs.config import RunConfig
    from ropepp_eval.runs.execute import run

    class Instant(Worker):
        def answers(self, asking: Any, name: str, rows: Any, numbers: Any) -> Iterator[Any]:
            import ray

            asked = ray.get(rows[0])
            for number in numbers:
                row = asked[number]
                yield number, [Answer("", row.prompt_tokens, 1, row.max_new_tokens, "eos", 0, 0.001, "0" * 64)]
            yield Done(())

    member.Worker = Instant  # type: ignore[misc]
    config = RunConfig.of(
        TINY, tasks="niah_single_1,niah_single_2,niah_multikey_1,niah_multivalue,niah_multiquery", lengths="512",
        samples=rows // 5, out=folder / "run", device="cpu", offline=True, quiet=True,
    )  # fmt: skip
    common.forget_peak()
    finished = run(config, executor=RayExecutor(workers=1, cpus_per_worker=1))
    return {"rows": finished.outcome.rows, "failed": finished.outcome.failed, "peak_bytes": common.peak_bytes()}


SIDES = {"here": here, "cluster": cluster, "memory": memory}

if __name__ == "__main__":
    sys.exit(main())
