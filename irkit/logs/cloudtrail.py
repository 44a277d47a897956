# ruff: noqa: S608 - SQL is put together from our own column names; values are bound
"""CloudTrail records, from JSON text to typed rows, by way of DuckDB's decoder and Arrow.

DuckDB decodes each record's text with an explicit schema (`from_json`): no Python object is made for a record, which is
what makes this fast. Texts that are no JSON are sorted out when the decoder complains; they are taken apart together
with their broken neighbours, by DuckDB if they are whole and by `salvage` if not, and what that finds is decoded again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from irkit.logs import cloudtrail_columns as sql
from irkit.logs.lost import LostRecord
from irkit.logs.records import Cut, RecordTexts, Span, is_text
from irkit.logs.salvage import Piece, salvage

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pyarrow as pa

_MADE = ", ".join(f"{made} as {name}" for name, made in sql.COLUMNS.items())
_DECODE = f"""
with records as (
    select rec, from_json(rec, {sql.RECORD}) as r from texts
), opened as (
    select *, from_json(r.requestParameters, {sql.REQUEST}) as q, from_json(r.responseElements, {sql.RESPONSE}) as p,
           from_json(r.additionalEventData, {sql.MORE}) as m
    from records
)
select {_MADE}, {sql.KEYS}, {sql.FAULT} as fault from opened
"""
_VALID = "select coalesce(try(json_valid(rec)), false) as valid from texts"
# Records that begin with different names were not cut apart; as an array they are.
_TAKE_APART = """select try(from_json('[' || text || ']', '["JSON"]')) from glued"""
_IDENTIFY = "select " + ", ".join(f"{made} as {name}" for name, made in sql.IDENTITY_COLUMNS.items())
_IDENTIFY += f" from (select try(from_json(identity, {sql.IDENTITY})) as u from identities)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """Rows of the `cloudtrail` table with their keys, what was lost, and how many records each file had."""

    rows: pa.Table
    lost: list[LostRecord]
    counted: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Mended:
    """A good record that salvage found."""

    span: Span
    number: int
    text: str


def decode(cursor: duckdb.DuckDBPyConnection, texts: RecordTexts) -> Decoded:
    """The records of `texts` as rows; `texts` takes no more after this."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    table, which = _decoded(cursor, texts.to_arrow())
    sound = pc.is_null(table["fault"])
    good = which[sound.combine_chunks().to_numpy(zero_copy_only=False)]
    faulty = np.setdiff1d(np.arange(texts.count), good, assume_unique=True)
    numbers = np.ones(texts.count, dtype=np.int64)
    files = np.zeros(texts.count, dtype=np.int32)
    mended: list[_Mended] = []
    lost: list[LostRecord] = []
    counted: dict[str, int] = {}
    apart = _apart(cursor, texts, faulty)
    for file, span in enumerate(texts.spans):
        counts = np.ones(span.end - span.begin, dtype=np.int64)
        mine = apart.get(span.begin, {})
        runs, found = list(mine), list(mine.values())
        for (begin, end), pieces in zip(runs, found, strict=True):
            counts[begin - span.begin : end - span.begin] = 0
            counts[begin - span.begin] = len(pieces)
        before = np.cumsum(counts) - counts + span.first
        numbers[span.begin : span.end] = before
        files[span.begin : span.end] = file
        for (begin, _), pieces in zip(runs, found, strict=True):
            for offset, piece in enumerate(pieces):
                number = int(before[begin - span.begin]) + offset
                if piece.fault is None:
                    mended.append(_Mended(span, number, piece.text))
                else:
                    lost.append(_lost(span.name, number, piece.fault, piece.text))
        counted[span.name] = counted.get(span.name, 0) + int(counts.sum())
    tables = [_placed(table.filter(sound) if len(faulty) else table, files[good], numbers[good], texts)]
    if mended:
        again, gone = _second_look(cursor, mended)
        tables.append(again)
        lost += gone
    rows = pa.concat_tables(tables, promote_options="permissive").drop_columns(["fault"])
    return Decoded(rows=_identified(cursor, rows), lost=lost, counted=counted)


def _apart(
    cursor: duckdb.DuckDBPyConnection, texts: RecordTexts, faulty: np.ndarray
) -> dict[int, dict[tuple[int, int], list[Piece]]]:
    """What the slices that could not be decoded hold, by the beginning of their span and their range."""
    import numpy as np
    import pyarrow as pa

    if not len(faulty):
        return {}
    found: dict[int, dict[tuple[int, int], list[Piece]]] = {}
    glued: list[tuple[Span, int, int, bytes]] = []
    for span in texts.spans:
        mine = faulty[np.searchsorted(faulty, span.begin) : np.searchsorted(faulty, span.end)]
        glued += [(span, begin, end, texts.text(begin, end, span.joint)) for begin, end in _runs(mine)]
    plain = [text.decode() if is_text(text) else "not text" for *_, text in glued]
    cursor.register("glued", pa.table({"text": pa.array(plain, pa.large_string())}))
    try:
        lists = cursor.execute(_TAKE_APART).fetchall()
    finally:
        cursor.unregister("glued")
    for (span, begin, end, text), (values,) in zip(glued, lists, strict=True):
        whole = values and None not in values
        pieces = [Piece(text=value) for value in values] if whole else list(salvage(text))
        found.setdefault(span.begin, {})[begin, end] = pieces
    return found


def _runs(faulty: np.ndarray) -> Iterator[tuple[int, int]]:
    """Neighbours among `faulty` as ranges: a cut in the wrong place breaks what lies on both sides."""
    begin: int | None = None
    last = -1
    for number in faulty.tolist():
        if begin is not None and number != last + 1:
            yield begin, last + 1
            begin = None
        begin = number if begin is None else begin
        last = number
    if begin is not None:
        yield begin, last + 1


def _lost(file: str, number: int, fault: str, text: str) -> LostRecord:
    return LostRecord(
        file=file, number=number, fault=fault, text=text.encode("utf-8", "replace").decode("utf-8")
    )


def _decoded(cursor: duckdb.DuckDBPyConnection, texts: pa.Table) -> tuple[pa.Table, np.ndarray]:
    """What DuckDB makes of `texts`, and which of them the rows are: texts that are no JSON give none."""
    import duckdb
    import numpy as np

    which = np.arange(texts.num_rows)
    cursor.register("texts", texts)
    try:
        try:
            return cursor.sql(_DECODE).to_arrow_table(), which
        except duckdb.InvalidInputException:
            # `try(from_json(…))` would decode every vector with a broken text in it once more, row by row.
            valid = cursor.sql(_VALID).to_arrow_table()["valid"]
            cursor.register("texts", texts.filter(valid))
            decoded = cursor.sql(_DECODE).to_arrow_table()
            return decoded, which[valid.combine_chunks().to_numpy(zero_copy_only=False)]
    finally:
        cursor.unregister("texts")


def _placed(table: pa.Table, files: np.ndarray, numbers: np.ndarray, texts: RecordTexts) -> pa.Table:
    """`table` with the file and the number of each record."""
    import numpy as np
    import pyarrow as pa

    names = pa.array([span.name for span in texts.spans], pa.string()).dictionary_encode()
    # Two spans may be of one file.
    where = names.indices.to_numpy(zero_copy_only=False).astype(np.int32)
    src = pa.DictionaryArray.from_arrays(pa.array(where[files]), names.dictionary)
    return table.append_column("src_file", src).append_column("rec_no", pa.array(numbers.astype(np.int32)))


def _second_look(
    cursor: duckdb.DuckDBPyConnection, mended: list[_Mended]
) -> tuple[pa.Table, list[LostRecord]]:
    """What salvage found, decoded; records with a fault of their own are lost."""
    import numpy as np
    import pyarrow.compute as pc

    texts = RecordTexts()
    for one in mended:
        nowhere = np.asarray([], dtype=np.int64)
        texts.add(one.span.name, Cut(text=one.text.encode(), at=nowhere, joint=b","), first=one.number)
    table, which = _decoded(cursor, texts.to_arrow())
    faults: list[str | None] = ["not JSON"] * len(mended)
    for number, fault in zip(which.tolist(), table["fault"].to_pylist(), strict=True):
        faults[number] = fault
    lost = [
        _lost(one.span.name, one.number, fault, one.text)
        for one, fault in zip(mended, faults, strict=True)
        if fault is not None
    ]
    sound = pc.is_null(table["fault"])
    good = which[sound.combine_chunks().to_numpy(zero_copy_only=False)]
    numbers = np.asarray([one.number for one in mended], dtype=np.int64)
    return _placed(table.filter(sound), good.astype(np.int32), numbers[good], texts), lost


def _identified(cursor: duckdb.DuckDBPyConnection, rows: pa.Table) -> pa.Table:
    """`rows` with the columns of who called, which are reckoned once for each distinct `user_identity`."""
    import pyarrow as pa

    identity = rows["user_identity"].combine_chunks().dictionary_encode()
    cursor.register("identities", pa.table({"identity": identity.dictionary}))
    try:
        known = cursor.sql(_IDENTIFY).to_arrow_table()
    finally:
        cursor.unregister("identities")
    at = rows.schema.get_field_index("user_identity")
    rows = rows.set_column(at, "user_identity", identity)
    for name in known.column_names:
        column = known[name].combine_chunks()
        if pa.types.is_string(column.type):
            distinct = column.dictionary_encode()
            column = pa.DictionaryArray.from_arrays(
                distinct.indices.take(identity.indices), distinct.dictionary
            )
        else:
            column = column.take(identity.indices)
        rows = rows.append_column(name, column)
    return rows


def edges(cursor: duckdb.DuckDBPyConnection, tables: list[pa.Table]) -> pa.Table | None:
    """The rows of the `edge` table that follow from `tables`: which credentials issued which; None for none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found: list[pa.Table] = []
    for rows in tables:
        issued = pc.or_(pc.is_valid(rows["issued_access_key_id"]), pc.is_valid(rows["created_access_key_id"]))
        if pc.any(issued).as_py():
            found.append(rows.select(sql.EDGE_SOURCES).filter(issued))
    if not found:
        return None
    cursor.register("issuing", pa.concat_tables(found, promote_options="permissive"))
    try:
        return cursor.sql(sql.EDGES).to_arrow_table()
    finally:
        cursor.unregister("issuing")
