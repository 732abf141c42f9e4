"""What a data folder holds, whether it is what it was, and which tasks it is enough for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ropepp_eval.data.hub_sources import NOT_ON_THE_HUB
from ropepp_eval.data.known_files import KNOWN_FILES
from ropepp_eval.data.manifest import read_manifest
from ropepp_eval.data.prepare import FOLDERS
from ropepp_eval.errors import UserError
from ropepp_eval.hashing import hash_file

NEEDS = {
    "ruler": ("essays/*.txt", "squad/*.json", "hotpotqa/*dev*.json"),
    "babilong": ("babi/en-10k/qa*_test.txt", "gutenberg/*.txt"),
    "lambada": ("lambada/lambada_test.jsonl",),
    "wikitext": ("wikitext-2-raw/wiki.valid.raw", "wikitext-2-raw/wiki.test.raw"),
    "openbookqa": (
        "openbookqa/Additional/test_complete.jsonl",
        "openbookqa/Main/openbook.txt",
        "openbookqa/Additional/crowdsourced-facts.txt",
    ),
    "short_tasks": (
        "piqa/dev.jsonl",
        "piqa/dev-labels.lst",
        "hellaswag/hellaswag.jsonl",
        "winogrande/dev.jsonl",
        "ARC/ARC-e/ARC-Easy-Dev.jsonl",
        "ARC/ARC-e/ARC-Easy-Test.jsonl",
        "gpqa/gpqa_diamond.csv",
        "siqa/dev.jsonl",
        "siqa/dev-labels.lst",
        "truthful_qa/validation.jsonl",
        "truthful_qa/multiple_choice.jsonl",
    ),
    "super_glue": (
        "SuperGLUE/BoolQ/val.jsonl",
        "SuperGLUE/CB/val.jsonl",
        "SuperGLUE/COPA/val.jsonl",
        "SuperGLUE/MultiRC/val.jsonl",
        "SuperGLUE/ReCoRD/val.jsonl",
        "SuperGLUE/RTE/val.jsonl",
        "SuperGLUE/WiC/val.jsonl",
        "SuperGLUE/WSC/val.jsonl",
        "SuperGLUE/AX-b/AX-b.jsonl",
        "SuperGLUE/AX-g/AX-g.jsonl",
    ),
}
"""Files that a benchmark's tasks read; BABILong can do with its published rows (`babilong/`) instead."""


@dataclass(frozen=True, kw_only=True)
class CheckedFile:
    """One file of a data folder."""

    path: str
    state: str
    """`official` (a checksum this project knows), `prepared` (as `data prepare` left it), `other` (neither known nor recorded),
    `changed` or `missing` (against the record)."""
    sha256: str | None


@dataclass(frozen=True, kw_only=True)
class CheckedFolder:
    """All of a data folder."""

    root: Path
    source: str | None
    """What it was prepared from; None where it was put together by hand."""
    files: tuple[CheckedFile, ...]
    lacking: dict[str, list[str]]
    """Benchmark -> the files it needs that are not here (generated text can't stand in beside real files)."""

    @property
    def sound(self) -> bool:
        """False where a file is not what was prepared."""
        return not any(file.state in ("changed", "missing") for file in self.files)


def check_folder(root: Path) -> CheckedFolder:
    """Read every file of a data folder and compare it with what is known.

    Raises:
        UserError: there is no such folder, or its manifest is broken.
    """
    if not root.is_dir():
        raise UserError(f"data folder {root} is not there; name an existing one, or make it with `ropepp-eval data prepare`")
    manifest = read_manifest(root)
    recorded = {name: record.sha256 for name, record in manifest.files.items()} if manifest else {}
    present = {
        path.relative_to(root).as_posix(): path
        for name in FOLDERS
        for path in sorted((root / name).rglob("*"))
        if path.is_file()
    }
    files = [_checked(name, present.get(name), recorded.get(name)) for name in sorted({*present, *recorded})]
    return CheckedFolder(
        root=root,
        source=manifest.source if manifest else None,
        files=tuple(files),
        lacking=_lacking(root, manifest is not None),
    )


def _checked(name: str, path: Path | None, recorded: str | None) -> CheckedFile:
    if path is None:
        return CheckedFile(path=name, state="missing", sha256=None)
    digest = hash_file(path)
    if recorded is not None and digest != recorded:
        state = "changed"
    elif KNOWN_FILES.get(name) == digest:
        state = "official"
    else:
        state = "prepared" if recorded is not None else "other"
    return CheckedFile(path=name, state=state, sha256=digest)


def _lacking(root: Path, prepared: bool) -> dict[str, list[str]]:
    if prepared and not any((root / name).exists() for name in FOLDERS):
        return {}  # generated: tasks make their own text
    lacking = {benchmark: [p for p in patterns if not any(root.glob(p))] for benchmark, patterns in NEEDS.items()}
    if any((root / "babilong").rglob("*.*")):
        lacking.pop("babilong")
    return {benchmark: patterns for benchmark, patterns in lacking.items() if patterns}


def where_to_find(pattern: str) -> str:
    """Where a lacking file comes from, in a few words."""
    for name, source in NOT_ON_THE_HUB.items():
        if pattern.startswith(name):
            return source
    return "`ropepp-eval data prepare --from hub`"
