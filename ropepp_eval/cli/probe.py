"""`ropepp-eval probe`: what heads do, not only what they score."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropepp_eval.cli.options import add_position_arguments, add_task_arguments, load_position_modules, path
from ropepp_eval.inert import inert
from ropepp_eval.lengths import parse_length, parse_lengths
from ropepp_eval.probes.kinds import KINDS

if TYPE_CHECKING:
    from ropepp_eval.probes.base import Probe
    from ropepp_eval.probes.plan import ProbePlan

HELP = (
    "Look into checkpoints: what heads score by distance, where they look, what noise does to them, what they cost.\n"
    + "\n".join(f"  {kind:<14} {what}" for kind, what in KINDS.items())
)
EXAMPLE = (
    "ropepp-eval probe attention models/demo/ropepp_ec --tasks niah_single_1 --lengths 256 --samples 3 --out runs/probes"
)
_FIRST_LENGTHS = {"cost": "2k,4k,8k,16k,32k,64k"}
_TRAINED_TIMES = (1, 2, 4, 8, 16, 32)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("kind", metavar="KIND", help=", ".join(KINDS))
    add("checkpoints", nargs="*", type=path, metavar="CHECKPOINT", help="folder, hub id or name of a card")
    add(
        "--out",
        type=path,
        required=True,
        metavar="DIR",
        help="rows go to DIR/KIND, picture and numbers to DIR; the same command goes on",
    )
    _add_rows(parser.add_argument_group("what is read (curves, attention, noise, ablation, extrapolation)"), parser)
    heads = parser.add_argument_group("heads (attention, noise, ablation)")
    heads.add_argument(
        "--heads", metavar="LIST", help="LAYER:HEAD with commas: maps of these (attention), or these taken out (ablation)"
    )
    heads.add_argument(
        "--target", metavar="LIST", help="real, imaginary, both: whose heads are hurt (default: the roles there are)"
    )
    heads.add_argument(
        "--deviations", metavar="LIST", help="noise: standard deviations (default: 0,0.2,0.4,0.6,0.8,1,1.2,1.5)"
    )
    heads.add_argument("--draws", type=int, default=3, metavar="N", help="noise: how often it is drawn (default 3)")
    heads.add_argument("--ways", default="off,mean", metavar="LIST", help="ablation: off, mean (default: both)")
    heads.add_argument(
        "--map-row", type=int, default=0, metavar="N", help="attention: the row whose maps are kept (default 0)"
    )
    heads.add_argument("--no-needle", action="store_true", help="attention: rows need hide no needle")
    cost = parser.add_argument_group("cost")
    cost.add_argument(
        "--shape",
        metavar="SIZE",
        help="random weights in the shape of a card, such as 376M; --position names embeddings with commas",
    )
    cost.add_argument(
        "--backend", metavar="LIST", help="native (torch; the default), vllm, or both with commas: a picture of both"
    )
    cost.add_argument("--enforce-eager", action="store_true", default=None, help="vllm: no compilation, a quicker start")
    cost.add_argument("--batch", default="1,8", metavar="LIST", help="rows decoded side by side (default: 1,8)")
    cost.add_argument("--steps", type=int, default=8, metavar="N", help="tokens that are timed (default 8)")
    how = parser.add_argument_group("how it is computed")
    how.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps (default: cuda where there is one)")
    how.add_argument("--dtype", default="auto", help="float32, bfloat16, float16 (default: the checkpoint's)")
    how.add_argument("--attention", default="sdpa", help="eager, sdpa, flash_attention_2, flex_attention (default sdpa)")
    how.add_argument("--chunk", type=parse_length, default=1024, metavar="TOKENS", help="tokens read at once (default 1024)")
    how.add_argument(
        "--memory",
        type=float,
        metavar="GIB",
        help="what a probe of rows may take; a row that needs more is refused (default: what there is)",
    )
    how.add_argument("--offline", action="store_true", help="never touch the network")
    how.add_argument("--retry-failed", action="store_true", help="measure failed rows again")
    how.add_argument("--quiet", action="store_true", help="print the files that were written and nothing else")


def _add_rows(group: Any, parser: argparse.ArgumentParser) -> None:
    add = group.add_argument
    add("--tasks", metavar="LIST", help="task names (default: niah_single_2; extrapolation: wikitext_positions)")
    add(
        "--lengths",
        type=parse_lengths,
        help="context lengths with commas (coverage: default multiples of the trained length; cost: 2k to 64k)",
    )
    add("--samples", type=int, default=10, metavar="N", help="rows for each task and length (default 10)")
    add("--seed", type=int, default=42, help="seed of the rows (default 42)")
    add("--protocol", default="reference", help="reference or paper (default: reference)")
    add("--data-dir", type=path, help="folder of real corpora (docs/data.md); without it generated text stands in")
    add("--tokenizer", type=path, help="folder or hub id (default: the checkpoint's own)")
    add("--allow-beyond-trained-length", action="store_true", help="allow lengths past max_position_embeddings")
    add_task_arguments(group)
    add_position_arguments(group)


def main(args: argparse.Namespace) -> int:
    """Measures what is not there yet, then writes numbers and pictures and prints their files."""
    import os

    if args.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    from ropepp_eval.probes.execute import run_plan
    from ropepp_eval.probes.kinds import probe_class
    from ropepp_eval.probes.output import write_output

    kind = probe_class(args.kind)
    load_position_modules(args.position_module)
    probe = _probe(kind, args)
    plan = _plan(probe, args)

    def say(line: str) -> None:
        if not args.quiet:
            print(inert(line), file=sys.stderr, flush=True)

    say(f"{probe.kind}: {plan.rows:,} rows; rows and settings: {plan.folder}")
    records = run_plan(plan, retry_failed=args.retry_failed, say=say)
    for record in records:
        if record["error"] is not None:
            say(
                f"failed: {record['checkpoint']}, {record['task']} at {record['length_tokens']}: {record['error']['message']}"
            )
    print("\n".join(map(str, write_output(probe, records, Path(args.out)))))
    return 0


def _probe(kind: type[Probe], args: argparse.Namespace) -> Probe:
    """The probe with the settings that its kind takes; one given to a kind that has no use for it is refused."""
    from ropepp_eval.errors import UserError
    from ropepp_eval.probes.heads import parse_heads

    uses = {
        "heads": ("attention", "ablation"),
        "target": ("noise", "ablation"),
        "deviations": ("noise",),
        "shape": ("cost",),
        "backend": ("cost",),
        "enforce_eager": ("cost",),
        "memory": _ROWS,
    }
    for option, kinds in uses.items():
        if getattr(args, option) is not None and kind.kind not in kinds:
            raise UserError(
                f"--{option.replace('_', '-')} has no meaning for the probe {kind.kind}, only for {', '.join(kinds)}; leave it out"
            )
    given: dict[str, Any] = {}
    targets = tuple(_listed(args.target)) if args.target is not None else ()
    if kind.kind == "attention":
        given = {
            "heads": parse_heads(args.heads) if args.heads is not None else (),
            "map_row": args.map_row,
            "needles": not args.no_needle,
        }
    elif kind.kind == "noise":
        deviations = {} if args.deviations is None else {"deviations": tuple(_numbers(args.deviations, "deviation", float))}
        given = {"targets": targets, "seeds": args.draws, **deviations}
    elif kind.kind == "ablation":
        given = {
            "targets": targets,
            "heads": parse_heads(args.heads) if args.heads is not None else (),
            "ways": tuple(_listed(args.ways)),
        }
    elif kind.kind == "cost":
        given = {"batches": tuple(_numbers(args.batch, "batch", int)), "steps": args.steps}
    return kind(**given)


_ROWS = ("curves", "attention", "noise", "ablation", "extrapolation")


def _plan(probe: Probe, args: argparse.Namespace) -> ProbePlan:
    from ropepp_eval.probes.plan import memory_asked, plan_rows
    from ropepp_eval.runs.config import RunConfig

    if probe.kind not in _ROWS:
        return _setting_plan(probe, args)
    default = "wikitext_positions" if probe.kind == "extrapolation" else "niah_single_2"
    config = RunConfig.of(
        *args.checkpoints, tasks=args.tasks or default, lengths=args.lengths or (), samples=args.samples, seed=args.seed, protocol=args.protocol,
        data_dir=args.data_dir, offline=args.offline, device=args.device, dtype=args.dtype, attention=args.attention, position=args.position,
        position_module=args.position_module, task_folder=args.task_folder, tokenizer=args.tokenizer, quiet=True,
        allow_beyond_trained_length=args.allow_beyond_trained_length, adapter_options={"chunk_tokens": args.chunk},
    )  # fmt: skip
    return plan_rows(probe, config, Path(args.out), memory_asked(args.memory))


def _setting_plan(probe: Probe, args: argparse.Namespace) -> ProbePlan:
    from ropepp_eval.errors import UserError
    from ropepp_eval.probes.base import Setting
    from ropepp_eval.probes.cost import Cost
    from ropepp_eval.probes.plan import setting_plan
    from ropepp_eval.probes.sources import Decoding, cost_sources, coverage_sources, distinct, shape_sources

    if bool(args.checkpoints) == bool(args.shape):
        raise UserError(f"probe {probe.kind} takes checkpoints, or (cost) a shape such as --shape 376M; name one of the two")
    cells: list[tuple[str, int, Setting]]
    if isinstance(probe, Cost):
        folder, eager = Path(args.out) / probe.kind, bool(args.enforce_eager)
        backends = dict.fromkeys(_listed(args.backend or "") or ["native"])
        ways = [Decoding(name, args.dtype, args.device, folder, eager) for name in backends]
        if eager and "vllm" not in backends:
            raise UserError("--enforce-eager is vLLM's; add --backend vllm or leave it out")
        if args.shape:
            positions = _listed(args.position or "rope,ropepp_eh,ropepp_ec")
            sources = [source for how in ways for source in shape_sources(args.shape, positions, how)]
        else:
            sources = [source for how in ways for source in cost_sources(args.checkpoints, args.position, how)]
        distinct(sources)
        lengths = args.lengths or parse_lengths(_FIRST_LENGTHS["cost"])
        cells = [
            (f"decode_batch_{batch}", length, Setting({"batch": batch})) for batch in probe.batches for length in lengths
        ]
    else:
        sources = coverage_sources(args.checkpoints, args.position)
        trained = max(int(source.facts["max_position_embeddings"]) for source, _, _ in sources)
        lengths = args.lengths or [times * trained for times in _TRAINED_TIMES]
        cells = [("coverage", length, Setting({})) for length in lengths]
    arguments = {name: value for name, value in vars(args).items() if name not in ("out", "quiet", "debug", "retry_failed")}
    return setting_plan(probe, sources, Path(args.out), cells, arguments)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str, what: str, kind: Any) -> list[Any]:
    from ropepp_eval.errors import UserError

    found = []
    for part in _listed(text):
        try:
            found.append(kind(part))
        except ValueError:
            raise UserError(
                f"{what} {part!r} is no number; write them with commas, such as {'0,0.4,0.8' if kind is float else '1,8'}"
            ) from None
    return found
