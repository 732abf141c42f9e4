"""A file of rows (Parquet), whose prompts are read when they are asked for.

A file is written beside its place and renamed, and its footer holds the hash of all that stands before. Prompts stay in the
file: those of a plan with 30,000 long rows are 3 GB of text.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import logging
import os
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, overload

from ropepp_eval.errors import UserError
from ropepp_eval.rows.row import Row

_HASH = "ropepp_eval_sha256"
_MOST_ROWS = 1 << 20
_GROUP_CHARACTERS = 4 << 20
"""Prompts that are read together: about as much text as stays in a core's cache."""
_ZSTD_LEVEL = 3  # half the size of level 1 and quicker to read: prompts of a cell repeat each other
_log = logging.getLogger(__name__)


class _Cell:
    """A file of rows, open for reading prompts: the batch of rows that was read last is kept, the next ones are read ahead.

    Only the cell that was asked last keeps anything: one batch for each of a plan's cells would be hundreds of megabytes.
    """

    _asked_last: ClassVar[_Cell | None] = None

    def __init__(self, path: Path, rows: int, rebuild: Callable[[], list[Row]]) -> None:
        import pyarrow.dataset as ds
        from pyarrow.fs import LocalFileSystem

        self.path = path
        self.rows = rows
        self._rebuild = rebuild
        checked = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
        form = ds.ParquetFileFormat(default_fragment_scan_options=checked)
        self._fragment = form.make_fragment(str(path), filesystem=LocalFileSystem())
        self.metadata = self._fragment.metadata
        self._begins = [0]
        for group in range(self.metadata.num_row_groups):
            self._begins.append(self._begins[-1] + self.metadata.row_group(group).num_rows)
        self._let_go()

    def read(self, column: str, first_group: int = 0) -> Iterator[_Texts]:
        """A column's texts from a group on, batch by batch. Arrow decompresses the next ones in threads of its own."""
        groups = list(range(first_group, len(self._begins) - 1))
        batches = self._fragment.subset(row_group_ids=groups).to_batches(
            columns=[column], batch_size=_MOST_ROWS, batch_readahead=2
        )
        return (_Texts(batch.column(0)) for batch in batches if len(batch))

    def prompt(self, place: int) -> str:
        if not self._begin <= place < self._next:
            self._go_to(place)
        assert self._batch is not None
        return self._batch[place - self._begin]

    def _let_go(self) -> None:
        self._coming: Iterator[_Texts] = iter(())
        self._batch: _Texts | None = None
        self._begin, self._next = 0, -1  # rows of the batch; none yet

    def _go_to(self, place: int) -> None:
        if _Cell._asked_last is not self:
            if _Cell._asked_last is not None:
                _Cell._asked_last._let_go()
            _Cell._asked_last = self
        self._batch = None  # the old texts go before the new ones come
        group = bisect_right(self._begins, place) - 1
        if self._begins[group] != self._next:
            self._coming, self._begin, self._next = self.read("prompt", group), self._begins[group], self._begins[group]
        while place >= self._next:
            self._batch = next(self._coming, None)
            if self._batch is None:
                raise ValueError("it ends too early")
            self._begin, self._next = self._next, self._next + len(self._batch)

    @functools.cached_property
    def again(self) -> list[Row]:
        """The rows from the file that stands there now (one with more rows may have taken its place), else built anew."""
        return read_rows(self.path, self.rows, self._rebuild) or self._rebuild()


class _Texts(Sequence[str]):
    """Texts of an Arrow array without nulls. Each is made when asked for: for all at once, new memory takes longer than the texts."""

    def __init__(self, array: Any) -> None:
        import numpy as np

        _, offsets, content = array.buffers()
        self._ends = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1].tolist()
        self._content = memoryview(content or b"")

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        return str(self._content[self._ends[place] : self._ends[place + 1]], "utf-8")


class StoredRow(Row):
    """A row whose prompt is read from its file each time it is asked for."""

    def __getattr__(self, name: str) -> Any:  # comes into play only for what the instance does not hold
        if name != "prompt":
            raise AttributeError(f"a row has no {name!r}")
        cell, place = vars(self)["_stored"]
        if "again" not in vars(cell):
            try:
                return cell.prompt(place)
            except (OSError, ValueError, KeyError, IndexError) as error:  # Arrow's errors are among these
                _log.warning("cached rows %s were changed during the run (%s); they are read again", cell.path, _line(error))
        row = cell.again[place]
        if row.sha256 != self.sha256:
            raise UserError(
                f"cached rows {cell.path} and the data they were made from changed during the run; leave both alone, and run again"
            )
        return row.prompt


def read_rows(path: Path, samples: int, rebuild: Callable[[], list[Row]]) -> list[Row] | None:
    """The first `samples` rows of a file (all of them where the corpus gave fewer); None where it has too few.

    A file that is damaged counts as having none: it is logged, and the caller builds it anew. Where it is damaged later, before all
    prompts were read, `rebuild` is asked for the same rows.
    """
    if not path.is_file():
        return None
    try:
        if _stored_hash(path) != _body_hash(path):
            raise ValueError("its content is not what was written")
        cell = _Cell(path, samples, rebuild)
        about = json.loads(cell.metadata.metadata[b"ropepp_eval"])
        if about["asked"] < samples and about["rows"] >= about["asked"]:
            return None
        others = [text for batch in cell.read("others") for text in batch]
        return [_stored_row(doc, cell, place) for place, doc in enumerate(json.loads(f"[{','.join(others[:samples])}]"))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("cached rows %s can't be read (%s); they are built anew", path, _line(error))
        return None


def _stored_row(doc: dict[str, Any], cell: _Cell, place: int) -> Row:
    row: Row = object.__new__(StoredRow)
    vars(row).update(doc, references=tuple(doc["references"]), choices=tuple(doc["choices"]), _stored=(cell, place))
    return row


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


class _Hashed(io.BufferedIOBase):
    """A file to write to that hashes what goes through."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._hash.update(content)
        return int(self._file.write(content))

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def _stored_hash(path: Path) -> str:
    import pyarrow.parquet as pq

    metadata: dict[bytes, bytes] = pq.read_metadata(path).metadata or {}
    return metadata[_HASH.encode()].decode()


def _body_hash(path: Path) -> str:
    """sha256 of a Parquet file without its footer, whose length stands before the last four bytes."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        left = file.tell() - int.from_bytes(file.read(4), "little")
        file.seek(0)
        while left > 0 and (part := file.read(min(left, 1 << 20))):
            found.update(part)
            left -= len(part)
    return found.hexdigest()


def write_rows(path: Path, rows: list[Row], asked: int) -> None:
    """Keep rows. A folder that can't be written to is logged and otherwise does no harm."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as beside:
            try:
                _write(beside, rows, {"asked": asked, "rows": len(rows)})
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


def _write(file: Any, rows: list[Row], about: dict[str, int]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("prompt", pa.large_string()), ("others", pa.large_string())], {"ropepp_eval": json.dumps(about)})
    a_group = max(1, _GROUP_CHARACTERS // max((len(row.prompt) for row in rows), default=1))
    hashed = _Hashed(file)
    with pq.ParquetWriter(
        hashed,
        schema,
        compression="zstd",
        compression_level=_ZSTD_LEVEL,
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,  # for damage after the file was opened
        data_page_size=2 * _GROUP_CHARACTERS,
    ) as writer:
        for begin in range(0, len(rows), a_group):
            writer.write_table(_table(rows[begin : begin + a_group], schema))
        writer.add_key_value_metadata({_HASH: hashed.hexdigest()})


def _table(rows: list[Row], schema: Any) -> Any:
    import pyarrow as pa

    docs = [row.as_doc() | {"sha256": row.sha256} for row in rows]
    prompts = [doc.pop("prompt") for doc in docs]
    return pa.table([prompts, [json.dumps(doc, ensure_ascii=False) for doc in docs]], schema=schema)
