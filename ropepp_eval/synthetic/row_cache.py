"""Rows kept as Parquet files: one file a cell, named by the hash of everything its rows depend on.

A file is written beside its place and renamed, its pages carry checksums, and one that can't be read is built anew.
`ROPEPP_EVAL_CACHE` names the folder (default: `ropepp-eval` in the user's cache folder); `off` turns the cache off.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import json
import logging
import os
import platform
import tempfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ropepp_eval.hashing import hash_file, hash_json
from ropepp_eval.synthetic.rows import Row, RowBuilder, RowRequest, row_from_doc

FORMAT = 1
_PACKAGES = ("wonderwords", "nltk")
"""Packages whose word lists and rules get into rows."""
_ROWS_A_GROUP = 64
_READERS = 2
_log = logging.getLogger(__name__)


def cache_folder() -> Path | None:
    """Where rows are kept, or None where the cache is off."""
    named = os.environ.get("ROPEPP_EVAL_CACHE")
    if named is not None:
        return None if named.strip() in ("", "off") else Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ropepp-eval"


def cache_file(request: RowRequest, build: RowBuilder) -> Path | None:
    """The file of a request's cell; None where the cache is off or the builder is none of our tasks'."""
    folder = cache_folder()
    if folder is None or ".tasks." not in getattr(build, "__module__", ""):
        return None
    key = {
        "format": FORMAT,
        "task": request.task,
        "length_tokens": request.length_tokens,
        "seed": request.seed,
        "protocol": request.protocol,
        "tokenizer": request.tokenizer.sha256,
        "data": _data_hash(request, build),
        "repeat_text": request.data.repeat_text,
        "code": _code_hash(Path(inspect.getfile(build)).parent),
        "versions": [platform.python_version_tuple()[:2], *(_version(name) for name in _PACKAGES)],
    }
    return folder / "rows" / f"{request.task}@{request.length_tokens}-{hash_json(key)[:24]}.parquet"


def read_cached(path: Path, samples: int) -> list[Row] | None:
    """The first `samples` rows of a file (all of them where the corpus gave fewer); None where it has too few.

    A file that can't be read counts as having none: it is logged, and the caller builds it anew.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        return None
    try:
        metadata = pq.read_metadata(path)
        about = json.loads(metadata.metadata[b"ropepp_eval"])
        if about["asked"] < samples and about["rows"] >= about["asked"]:
            return None

        def read(group: int) -> Any:
            with pq.ParquetFile(path, metadata=metadata, page_checksum_verification=True) as file:
                return file.read_row_group(group)

        rows: list[Row] = []
        # decompression lets go of the interpreter: the next groups are read while this one becomes strings
        with ThreadPoolExecutor(_READERS) as pool:
            groups = iter(range(-(-min(samples, about["rows"]) // _ROWS_A_GROUP)))
            ahead = deque(pool.submit(read, group) for group in itertools.islice(groups, _READERS + 1))
            while ahead:
                table = ahead.popleft().result()
                ahead.extend(pool.submit(read, group) for group in itertools.islice(groups, 1))
                prompts, others = _strings(table.column("prompt")), _strings(table.column("others"))
                rows += [
                    row_from_doc({"prompt": text, **json.loads(other)}) for text, other in zip(prompts, others, strict=True)
                ]
        return rows[:samples]
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("cached rows %s can't be read (%s); they are built anew", path, str(error).splitlines()[0])
        return None


def _strings(column: Any) -> list[str]:
    """The texts of a large_string column without nulls, each copied once; `to_pylist` copies them twice."""
    import numpy as np

    texts: list[str] = []
    for chunk in column.chunks:
        _, offsets, content = chunk.buffers()
        ends = np.frombuffer(offsets, dtype=np.int64)[chunk.offset : chunk.offset + len(chunk) + 1].tolist()
        view = memoryview(content or b"")
        texts += [str(view[begin:end], "utf-8") for begin, end in itertools.pairwise(ends)]
    return texts


def write_cached(path: Path, rows: list[Row], asked: int) -> None:
    """Keep rows. A folder that can't be written to is logged and otherwise does no harm."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    about = {"asked": asked, "rows": len(rows)}
    schema = pa.schema([("prompt", pa.large_string()), ("others", pa.large_string())], {"ropepp_eval": json.dumps(about)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as beside:
            try:
                with pq.ParquetWriter(
                    beside,
                    schema,
                    compression="zstd",
                    compression_level=1,
                    use_dictionary=False,
                    write_statistics=False,
                    write_page_checksum=True,
                    data_page_size=4 << 20,
                ) as writer:
                    for begin in range(0, len(rows), _ROWS_A_GROUP):  # group by group: rows are large, copies cost memory
                        writer.write_table(_table(rows[begin : begin + _ROWS_A_GROUP], schema))
                beside.flush()
                os.fsync(beside.fileno())
                os.replace(beside.name, path)
            except BaseException:
                os.unlink(beside.name)
                raise
    except OSError as error:
        _log.warning(
            "rows can't be kept in %s (%s); set ROPEPP_EVAL_CACHE to a folder that can be written to", path.parent, error
        )


def _table(rows: list[Row], schema: Any) -> Any:
    import pyarrow as pa

    docs = [row.as_doc() for row in rows]
    prompts = [doc.pop("prompt") for doc in docs]
    return pa.table([prompts, [json.dumps(doc, ensure_ascii=False) for doc in docs]], schema=schema)


def _data_hash(request: RowRequest, build: RowBuilder) -> str | None:
    """Hash of the files the rows are made from: what the builder's `files_read` names, else the whole data folder."""
    root = request.data.root
    files_read: Any = getattr(build, "files_read", None)
    if files_read is not None:
        paths = list(files_read(request))
    elif root is None:
        return None
    else:
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        request.data.note_used(paths)  # a run's data hash is then the same whether rows are built or read from here
    found = []
    for path in paths:
        name = path.relative_to(root).as_posix() if root and path.is_relative_to(root) else path.name
        stat = path.stat()
        found.append([name, _file_hash(path, stat.st_size, stat.st_mtime_ns)])
    return hash_json(found)


@functools.lru_cache(maxsize=4096)
def _file_hash(path: Path, size: int, changed: int) -> str:
    return hash_file(path)


@functools.lru_cache(maxsize=16)
def _code_hash(folder: Path) -> str:
    """Hash of the code that rows come from: the task's folder, and what all tasks share."""
    shared = [Path(__file__).parent, Path(__file__).parent.parent / "data"]
    paths = [path for place in [folder, *shared] for path in sorted(place.iterdir()) if path.suffix in (".py", ".yaml")]
    return hash_json([[path.name, hash_file(path)] for path in paths])


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
