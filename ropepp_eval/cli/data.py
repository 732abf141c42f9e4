"""`ropepp-eval data`: prepare the data folder, or say what is in it."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropepp_eval.cli.options import path
from ropepp_eval.words import counted

if TYPE_CHECKING:
    from ropepp_eval.data.check import CheckedFolder
    from ropepp_eval.data.manifest import Manifest

HELP = (
    "Prepare the data folder once (from the hub at pinned revisions, from a folder, or generated), or check what is in one."
)
EXAMPLE = "ropepp-eval data prepare --from generated --into data"
DEFAULT_FOLDER = "data"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ropepp_eval.lengths import parse_lengths

    add = parser.add_argument
    add("action", choices=("prepare", "check"), help="prepare a data folder, or check one")
    add("folder", nargs="?", type=path, help=f"data folder to check (default {DEFAULT_FOLDER})")
    add(
        "--from",
        dest="source",
        type=path,
        metavar="hub|DIR|generated",
        help="prepare: where the data comes from (default hub)",
    )
    add("--into", type=path, metavar="DIR", help=f"prepare: the data folder (default {DEFAULT_FOLDER})")
    add(
        "--only",
        default="",
        metavar="NAMES",
        help="prepare from the hub: lambada,wikitext,openbookqa,squad,hotpotqa,babilong",
    )
    add(
        "--lengths",
        type=parse_lengths,
        default=[],
        help="prepare from the hub: lengths of BABILong's published rows (default all)",
    )
    add("--offline", action="store_true", help="never touch the network")
    add("--format", choices=("text", "json"), default="text", help="text (default) or json")


def main(args: argparse.Namespace) -> int:
    from ropepp_eval.errors import UserError

    if args.action == "check":
        if args.source or args.into:
            raise UserError(
                "data check takes a folder and neither --from nor --into; did you mean `ropepp-eval data prepare`?"
            )
        return _check(Path(args.folder or DEFAULT_FOLDER), args.format)
    if args.folder:
        raise UserError(f"data prepare takes no folder by itself ({args.folder}); name the data folder with --into")
    into = Path(args.into or DEFAULT_FOLDER)
    manifest = _prepare(args, into)
    shown = {"folder": str(into), "source": manifest.source, "files": len(manifest.files)}
    if args.format == "json":
        print(json.dumps(shown))
    elif manifest.source == "generated":
        print(f"{into}: tasks will generate their text (tables mark such rows); use it with --data-dir {into}")
    else:
        print(
            f"{into}: {counted(len(manifest.files), 'file')} with checksums in {into}/data.json; use it with --data-dir {into}"
        )
    return 0


def _prepare(args: argparse.Namespace, into: Path) -> Manifest:
    from ropepp_eval.data import prepare

    source = args.source or "hub"
    if source == "generated":
        return prepare.prepare_generated(into)
    if source == "hub":
        only = [name.strip() for name in args.only.split(",") if name.strip()]
        return prepare.prepare_from_hub(into, only=only, lengths=args.lengths, offline=args.offline)
    return prepare.prepare_from_folder(Path(source), into)


def _check(root: Path, style: str) -> int:
    from ropepp_eval.data.check import check_folder

    found = check_folder(root)
    print(json.dumps(_as_json(found), indent=1) if style == "json" else _as_text(found))
    return 0 if found.sound else 1


def _as_json(found: CheckedFolder) -> dict[str, Any]:
    files = [{"path": file.path, "state": file.state, "sha256": file.sha256} for file in found.files]
    return {
        "folder": str(found.root),
        "source": found.source,
        "sound": found.sound,
        "files": files,
        "lacking": found.lacking,
    }


def _as_text(found: CheckedFolder) -> str:
    from ropepp_eval.data.check import where_to_find

    lines = [f"{found.root}: prepared from {found.source}" if found.source else f"{found.root}: put together by hand"]
    by_folder: dict[str, Counter[str]] = {}
    for file in found.files:
        by_folder.setdefault(file.path.split("/")[0], Counter())[file.state] += 1
    for folder, states in by_folder.items():
        lines.append(f"  {folder}: " + ", ".join(f"{count} {state}" for state, count in sorted(states.items())))
    lines += [f"  {file.state}: {file.path}" for file in found.files if file.state in ("changed", "missing")]
    for benchmark, patterns in found.lacking.items():
        for pattern in patterns:
            lines.append(f"  {benchmark} lacks {pattern}: {where_to_find(pattern)}")
    return "\n".join(lines)
