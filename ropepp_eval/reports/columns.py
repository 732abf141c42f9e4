"""What statistics need of rows, as columns: an Arrow table with a line a row, made of records that were checked.

Texts are bytes, since a name may hold half a character, which Arrow's own text does not take. A table of a million rows is some 200 MB.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ropepp_eval.records import CELL_FIELDS

_TEXT = pa.large_binary()
_NAMES = pa.dictionary(pa.int32(), _TEXT)
_SCORE = pa.struct([("metric", _NAMES), ("top", pa.float64()), ("bottom", pa.float64()), ("pair", pa.bool_())])
SCHEMA = pa.schema(
    [
        ("cell", _NAMES),  # JSON of its `records.CELL_FIELDS`
        ("row", pa.int64()),
        ("row_sha256", _TEXT),
        ("cluster", _NAMES),  # empty: none
        ("references", _TEXT),  # hash of them where there is a cluster: whether rows of one document ask the same
        ("seed", _NAMES),  # JSON
        ("tokenizer_sha256", _NAMES),  # JSON
        ("scorer_sha256", _NAMES),  # JSON
        ("tokens", pa.int64()),  # of prompt and budget; null: not known
        ("cut", pa.bool_()),
        ("stand_in", pa.bool_()),
        ("failed", pa.bool_()),
        ("scored", pa.bool_()),  # whether it has scores at all
        ("scores", pa.large_list(_SCORE)),  # those that are not null; a number is (number, 1)
    ]
)
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
_NUMBERS: dict[Hashable, int] = {}


def numbers_of(names: Iterable[Hashable]) -> Integers:
    """A number for each name, the same for equal names wherever this process asks, so that arrays of them can be compared."""
    return np.fromiter((_NUMBERS.setdefault(name, len(_NUMBERS)) for name in names), dtype=np.int64)


def columns_of(records: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The columns of checked records. The fields of `records.CELL_FIELDS`, `row`, `row_sha256`, `seed`, `tokenizer_sha256`, `scores`
    and `error` must be there."""
    clusters = [row.get("cluster") or "" for row in records]
    tokens = [_tokens(row) for row in records]
    columns = [
        _coded([tuple(row[field] for field in CELL_FIELDS) for row in records]),
        arrow_integers([row["row"] for row in records]),
        _binary([_bytes(row["row_sha256"]) for row in records]),
        _binary([_bytes(cluster) for cluster in clusters]).dictionary_encode(),
        _binary([_references(row) if cluster else b"" for row, cluster in zip(records, clusters, strict=True)]),
        *(_coded([row.get(field) for row in records]) for field in ("seed", "tokenizer_sha256", "scorer_sha256")),
        arrow_integers([count or 0 for count in tokens], known=[count is not None for count in tokens]),
        *(_flags([bool(row.get(field)) for row in records]) for field in ("cut", "stand_in")),
        _flags([row["error"] is not None for row in records]),
        _flags([row["scores"] is not None for row in records]),
        _scores([row["scores"] or {} for row in records]),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


# Arrays are made of buffers, since `pyarrow.array` imports pandas, which takes longer than a table of a small run.


def arrow_integers(values: Sequence[int] | Integers, known: Sequence[bool] | None = None) -> pa.Array:
    """Whole numbers as Arrow has them; null where not `known`."""
    validity = None if known is None or all(known) else _bits(known)
    return pa.Array.from_buffers(pa.int64(), len(values), [validity, pa.py_buffer(np.asarray(values, dtype=np.int64))])


def _bits(values: Sequence[bool]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(np.asarray(values, dtype=bool), bitorder="little"))


def _flags(values: Sequence[bool]) -> pa.Array:
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, _bits(values)])


def _floats(values: Sequence[float]) -> pa.Array:
    return pa.Array.from_buffers(pa.float64(), len(values), [None, pa.py_buffer(np.asarray(values, dtype=np.float64))])


def _binary(values: Sequence[bytes]) -> pa.Array:
    offsets = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    return pa.Array.from_buffers(_TEXT, len(values), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(values))])


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _coded(values: Sequence[Any]) -> pa.Array:
    """JSON of values of which there are few, each once."""
    known = {value: json.dumps(value).encode() for value in dict.fromkeys(values)}
    return _binary([known[value] for value in values]).dictionary_encode()


def _references(row: Mapping[str, Any]) -> bytes:
    return hashlib.blake2b(repr(row.get("references")).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _tokens(row: Mapping[str, Any]) -> int | None:
    prompt = row.get("prompt_tokens")
    return None if prompt is None else prompt + (row.get("budget") or 0)


def _scores(scores: Sequence[Mapping[str, Any]]) -> pa.Array:
    found = [[(name, score) for name, score in one.items() if score is not None] for one in scores]
    flat = [pair for one in found for pair in one]
    pairs = [isinstance(score, (list, tuple)) for _, score in flat]
    both = [score if pair else (score, 1.0) for (_, score), pair in zip(flat, pairs, strict=True)]
    names = _binary([_bytes(name) for name, _ in flat]).dictionary_encode()
    tops, bottoms = (_floats([one[side] for one in both]) for side in (0, 1))
    members = pa.StructArray.from_arrays([names, tops, bottoms, _flags(pairs)], fields=list(_SCORE))
    offsets = np.zeros(len(found) + 1, dtype=np.int64)
    np.cumsum([len(one) for one in found], out=offsets[1:])
    return pa.Array.from_buffers(pa.large_list(_SCORE), len(found), [None, pa.py_buffer(offsets)], children=[members])


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of several."""
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def cell_names(table: pa.Table) -> list[tuple[Any, ...]]:
    """The `records.CELL_FIELDS` of each cell whose rows are in the table, in the order in which they come."""
    return [tuple(json.loads(name)) for name in distinct_texts(table, "cell")]


def of_cell(table: pa.Table, number: int) -> Integers:
    """Places of the rows of the cell of that number in `cell_names`."""
    name = distinct_texts(table, "cell")[number]
    return np.flatnonzero(np.array([one == name for one in _chunk(table, "cell").to_pylist()]))


def distinct_values(table: pa.Table, column: str) -> list[Any]:
    """Values of a column of JSON, each once, in the order in which they come."""
    return [json.loads(value) for value in distinct_texts(table, column)]


def distinct_texts(table: pa.Table, column: str) -> list[bytes]:
    found: list[bytes] = _chunk(table, column).unique().to_pylist()
    return found


def _chunk(table: pa.Table, column: str) -> Any:
    """The one chunk of a column."""
    whole = table.column(column)
    return whole.chunk(0) if whole.num_chunks == 1 else whole.combine_chunks()


def as_numpy(array: pa.Array) -> Any:
    """Numbers or flags without nulls; of its buffer, since Arrow's own way imports pandas too."""
    buffer, first, last = array.buffers()[1], array.offset, array.offset + len(array)
    if array.type == pa.bool_():
        bits = np.frombuffer(buffer, dtype=np.uint8) if buffer else np.empty(0, dtype=np.uint8)
        return np.unpackbits(bits, count=last, bitorder="little")[first:].astype(bool)
    dtype = {pa.int32(): np.int32, pa.int64(): np.int64, pa.float64(): np.float64}[array.type]
    return np.frombuffer(buffer, dtype=dtype)[first:last] if buffer else np.empty(0, dtype=dtype)


def flags(table: pa.Table, column: str) -> NDArray[np.bool_]:
    values: NDArray[np.bool_] = as_numpy(_chunk(table, column))
    return values


def integers(table: pa.Table, column: str) -> Integers:
    """A column of whole numbers without its nulls."""
    values: Integers = as_numpy(_chunk(table, column).drop_null())
    return values


def texts(table: pa.Table, column: str) -> list[bytes]:
    found: list[bytes] = _chunk(table, column).to_pylist()
    return found


def scores_in(table: pa.Table, metric: str) -> tuple[Integers, Floats, Floats, NDArray[np.bool_]]:
    """Places of the rows that have a score in `metric`; numerators, denominators and whether each was a pair."""
    lists = _chunk(table, "scores")
    members = lists.flatten()
    places = np.repeat(np.arange(len(lists)), np.diff(as_numpy(lists.offsets)))
    names = members.field("metric")
    wanted = [number for number, name in enumerate(names.dictionary.to_pylist()) if name == _bytes(metric)]
    here = np.isin(as_numpy(names.indices), wanted)
    top, bottom, pair = (as_numpy(members.field(name))[here] for name in ("top", "bottom", "pair"))
    return places[here], top, bottom, pair
