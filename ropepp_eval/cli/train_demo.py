"""`ropepp-eval train-demo`: train the tiny demo models, or check one against its card."""

from __future__ import annotations

import argparse
from pathlib import Path

from ropepp_eval.cli.options import path
from ropepp_eval.errors import UserError

HELP = "Train tiny models on generated text, one for each position embedding, or check a trained one against its card."
EXAMPLE = "ropepp-eval train-demo rope ropepp_ec --out runs/zoo"
_CHECKED_BY_DEFAULT = "models/demo/rope"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("position", nargs="*", help="position embeddings to train, one model each, or `all` for the demo's seven")
    add("--out", type=path, help="folder to write to; a model goes to OUT/<position>, which must not exist yet")
    add("--steps", type=int, help="training steps; the committed models' number without it")
    add("--seed", type=int, help="seed of weights and texts; the committed models' without it")
    add("--threads", type=int, default=1, help="CPU threads; another number rounds otherwise (default 1)")
    add("--no-compile", action="store_true", help="without torch.compile: no C++ compiler needed, about half as fast")
    add(
        "--check",
        type=path,
        nargs="?",
        const=_CHECKED_BY_DEFAULT,
        metavar="FOLDER",
        help=f"train the first steps of a model anew and compare with its card (default {_CHECKED_BY_DEFAULT})",
    )


def main(args: argparse.Namespace) -> int:
    if args.check is not None:
        return _check(Path(args.check), args)
    return _train(args)


def _check(folder: Path, args: argparse.Namespace) -> int:
    from ropepp_eval.demo.zoo import TOLERANCE, check_model

    if args.position or args.out:
        raise UserError("--check compares a finished model with its card and trains none; leave out positions and --out")
    found = check_model(folder)
    print(f"{folder}: the first {found.steps} steps, trained anew")
    print(f"  largest difference of a loss   {found.largest_difference:.6f} ({TOLERANCE} is allowed)")
    print(f"  weights are the card's         {'yes' if found.weights_as_carded else 'NO'}")
    print(f"  tokenizer is the card's        {'yes' if found.tokenizer_as_carded else 'NO'}")
    return 0 if found.passed else 1


def _train(args: argparse.Namespace) -> int:
    from ropepp_eval.demo import recipe
    from ropepp_eval.demo.training import Settings, can_compile
    from ropepp_eval.demo.zoo import train_models

    if not args.position:
        raise UserError(f"train-demo: no position was named; name some of {', '.join(recipe.POSITIONS)}, or all")
    if args.out is None:
        raise UserError("train-demo: no folder was named; give --out, such as --out runs/zoo")
    positions = recipe.POSITIONS if args.position == ["all"] else tuple(dict.fromkeys(args.position))
    compiled = not args.no_compile and can_compile()
    if not compiled and not args.no_compile:
        print("no C++ compiler was found: training goes on without torch.compile, about half as fast")
    trainings = [
        Settings(
            position=position,
            steps=recipe.STEPS if args.steps is None else args.steps,
            seed=recipe.SEED if args.seed is None else args.seed,
            threads=args.threads,
            compiled=compiled,
        )
        for position in positions
    ]
    train_models(trainings, Path(args.out))
    return 0
