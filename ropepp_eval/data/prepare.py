"""Get the corpora once, into one folder: from the hub at pinned revisions, from a folder, or as generated stand-ins."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ropepp_eval.data.conversions import CONVERSIONS, missing_columns
from ropepp_eval.data.hub_sources import HUB_SOURCES, HubFile, HubSource
from ropepp_eval.data.manifest import NAME, FileRecord, Manifest, read_manifest, write_manifest
from ropepp_eval.data.text_files import read_json_records
from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.files import write_atomically
from ropepp_eval.hashing import hash_file
from ropepp_eval.hub import fetch
from ropepp_eval.lengths import format_length

FOLDERS = (
    "ARC",
    "SuperGLUE",
    "babi",
    "babilong",
    "essays",
    "gpqa",
    "gutenberg",
    "hellaswag",
    "hotpotqa",
    "lambada",
    "nltk_data",
    "openbookqa",
    "piqa",
    "siqa",
    "squad",
    "truthful_qa",
    "wikitext-2-raw",
    "winogrande",
)
"""What a data folder may hold; other folders of a source are left where they are."""
Fetch = Callable[[str, str, Sequence[str]], Path]
"""(repository, revision, paths in it) -> a local folder that holds them."""


def prepare_generated(into: Path) -> Manifest:
    """Mark `into` as a folder of stand-ins: tasks generate their text themselves, so there is nothing to store.

    Raises:
        UserError: the folder already holds real data.
    """
    held = [name for name in FOLDERS if (into / name).exists()]
    if held:
        raise UserError(
            f"data folder {into} holds {', '.join(held)}; prepare generated data into an empty folder with --into"
        )
    into.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(source="generated", files={})
    write_manifest(into, manifest)
    return manifest


def prepare_from_folder(source: Path, into: Path) -> Manifest:
    """Copy the known folders of `source` into `into` and write down their checksums.

    Raises:
        UserError: `source` is not a folder, or holds none of the known folders.
    """
    if not source.is_dir():
        raise UserError(f"data source {source} is not a folder; give --from hub, --from generated or an existing folder")
    paths = [path for name in FOLDERS for path in sorted((source / name).rglob("*")) if path.is_file()]
    if not paths:
        raise UserError(f"data source {source} holds none of {', '.join(FOLDERS)}; docs/data.md shows the layout")
    written = {path.relative_to(source).as_posix(): path.read_bytes() for path in paths}
    return _store(into, "folder", ((name, content, "folder") for name, content in written.items()))


def prepare_from_hub(
    into: Path,
    *,
    only: Sequence[str] = (),
    lengths: Sequence[int] = (),
    offline: bool = False,
    fetch_files: Fetch | None = None,
) -> Manifest:
    """Fetch the pinned revisions, check them, and write them in the original file formats.

    Args:
        into: the data folder.
        only: names of sources; all of them where empty.
        lengths: lengths (tokens) of BABILong's published rows; all of them where empty.
        offline: never touch the network, which this needs.
        fetch_files: how files are fetched; the hub's own client where None.

    Raises:
        UserError: offline, an unknown source, or a file that is not what the table says.
    """
    if offline:
        raise UserError("data prepare --from hub needs the network; leave --offline out, or give --from DIR")
    sources = {source.name: source for source in HUB_SOURCES}
    for name in only:
        if name not in sources:
            raise unknown_name("data source", name, sources, "choose with --only")
    endings = tuple(f"/{format_length(length)}.json" for length in lengths)
    get = fetch_files or fetch_from_hub

    def contents() -> Iterable[tuple[str, bytes, str]]:
        for source in sources.values():
            if only and source.name not in only:
                continue
            files = [
                file for file in source.files if source.name != "babilong" or not endings or file.path.endswith(endings)
            ]
            folder = get(source.repository, source.revision, [file.path for file in files])
            for file in files:
                origin = f"hub:{source.repository}@{source.revision}/{file.path}"
                yield file.makes, _content(source, file, folder / file.path), origin

    return _store(into, "hub", contents())


def fetch_from_hub(repository: str, revision: str, paths: Sequence[str]) -> Path:
    """The folder with files of a data set at one revision, through the hub's client and its cache.

    Raises:
        UserError: they could not be fetched.
    """
    folder = fetch(repository, paths, revision=revision, dataset=True)
    for path in paths:
        if not (folder / path).is_file():
            raise UserError(f"data set {repository}@{revision} has no file {path}; its files moved: give --from DIR")
    return folder


def _content(source: HubSource, file: HubFile, local: Path) -> bytes:
    where = f"{source.repository}@{source.revision[:8]}/{file.path}"
    if file.sha256 is not None and hash_file(local) != file.sha256:
        raise UserError(
            f"{where} has sha256 {hash_file(local)}, {file.sha256} was expected; remove the hub's cache and try again"
        )
    convert = CONVERSIONS[source.conversion]
    records = _records(local)
    if file.records is not None and len(records) != file.records:
        raise UserError(
            f"{where} holds {len(records)} records, {file.records} were expected; remove the hub's cache and try again"
        )
    if lacking := missing_columns(source.conversion, records[0] if records else {}):
        raise UserError(
            f"{where} has no column {', '.join(lacking)}; its schema moved: give --from DIR with the original files"
        )
    return local.read_bytes() if convert is None else convert(records)


def _records(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        import pyarrow.parquet

        return list(pyarrow.parquet.read_table(path).to_pylist())
    return read_json_records(path, dict[str, Any])


def _store(into: Path, source: str, contents: Iterable[tuple[str, bytes, str]]) -> Manifest:
    """Write each (path, bytes, origin); the manifest is written last and keeps what earlier calls put there."""
    before = read_manifest(into)
    files = dict(before.files) if before is not None else {}
    for name, content, origin in contents:
        digest = hashlib.sha256(content).hexdigest()
        target = into / name
        if not target.is_file() or hash_file(target) != digest:
            write_atomically(target, content)
        files[name] = FileRecord(sha256=digest, size_bytes=len(content), origin=origin)
    manifest = Manifest(source=source, files=files)
    write_manifest(into, manifest)
    return manifest


__all__ = ["FOLDERS", "NAME", "Fetch", "fetch_from_hub", "prepare_from_folder", "prepare_from_hub", "prepare_generated"]
