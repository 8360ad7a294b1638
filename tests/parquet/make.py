"""Makes the Parquet files of this folder: what other writers write, which tests of this program cannot write themselves.
Not part of any test. Made with pyarrow 26: `python make.py` in this folder."""

import datetime as dt
import uuid
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def write(name, columns, **options):
    pq.write_table(pa.table(columns), name + ".parquet", **{"write_page_checksum": True, **options})


def timestamps(unit, zone=None):
    moments = [dt.datetime(2026, 11, 15, 6, 30, 0, 123000), None, dt.datetime(1999, 12, 31, 23, 59, 59)]
    return pa.array(moments, pa.timestamp(unit, tz=zone))


types = {
    "id": ["A1", "A2", "A3"],
    "i8": pa.array([-128, None, 127], pa.int8()),
    "u8": pa.array([0, None, 255], pa.uint8()),
    "u16": pa.array([0, None, 65535], pa.uint16()),
    "u32": pa.array([0, None, 4294967295], pa.uint32()),
    "i64": pa.array([-(2**63), None, 2**63 - 1], pa.int64()),
    "u64": pa.array([0, None, 2**64 - 1], pa.uint64()),
    "f16": pa.array(np.array([0.5, 2.0**-24, -65504.0], np.float16)),
    "f32": pa.array([0.1, None, -1e30], pa.float32()),
    "f64": pa.array([0.1, None, -1.2345678901234568e-10], pa.float64()),
    "flag": [True, None, False],
    "d5": pa.array([Decimal("-123.45"), None, Decimal("0.01")], pa.decimal128(5, 2)),
    "d38": pa.array([Decimal("-" + "9" * 28 + "." + "9" * 10), None, Decimal("1E-10")], pa.decimal128(38, 10)),
    "day": [dt.date(1, 1, 1), None, dt.date(9999, 12, 31)],
    "t32": pa.array([0, None, 86399999], pa.time32("ms")),
    "t64": pa.array([1, None, 86399999999], pa.time64("us")),
    "wall": timestamps("ms"),
    "instant": timestamps("us", "UTC"),
    "offset": timestamps("us", "+02:00"),
    "zone": timestamps("ns", "America/New_York"),
    "label": pa.array(["red", None, "red"]).dictionary_encode(),
    "uuid": pa.array([uuid.UUID(int=1).bytes, None, uuid.UUID(int=2**128 - 1).bytes], pa.uuid()),
    "json": pa.array(['{"a": 1}', None, "[]"], pa.json_()),
    "nothing": pa.nulls(3),
}
unreadable = {
    "raw": [b"x", b"\xff", None],
    "fixed": pa.array([b"abc"] * 3, pa.binary(3)),
    "span": pa.array([1, 2, 3], pa.duration("us")),
    "list": [[1, 2], [], None],
    "struct": [{"a": 1}, {"a": 2}, None],
    "map": pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int32())),
    "wide": pa.array([Decimal(1)] * 3, pa.decimal256(60, 2)),
}
write("types", {**types, **unreadable})
pq.write_table(
    pa.table({"id": ["A1", "A2", "A3"], "wall": timestamps("us"), "far": [dt.datetime(9999, 12, 31), None, None]}),
    "int96.parquet",
    use_deprecated_int96_timestamps=True,
)

count = 60
scores = {
    "id": [f"A{number:02}" for number in range(count)],
    "score": pa.array([None if number % 7 == 3 else number * 3 for number in range(count)], pa.int32()),
    "note": [None if number % 5 == 2 else f"note {number % 9}, at length" for number in range(count)],
}
for codec in ["snappy", "gzip", "zstd", "lz4", "brotli"]:
    write(codec, scores, compression=codec)
deltas = {"id": "DELTA_BYTE_ARRAY", "score": "DELTA_BINARY_PACKED", "note": "DELTA_LENGTH_BYTE_ARRAY"}
small = {"use_dictionary": False, "data_page_size": 100, "write_batch_size": 10, "row_group_size": 25}
write("deltas", scores, column_encoding=deltas, **small)
write("second_version", scores, column_encoding=deltas, data_page_version="2.0", **small)
split = {"id": "PLAIN", "score": "BYTE_STREAM_SPLIT", "note": "PLAIN"}
write("split", scores, column_encoding=split, use_dictionary=False)
write("pages", scores, compression="none", data_page_size=100, write_batch_size=10)

# A text of 1 MB in a dictionary, four hundred times, and a file of some kilobytes.
large = pa.DictionaryArray.from_arrays(pa.array([0] * 400, pa.int32()), pa.array(["n" * 1_000_000]))
write("bomb", {"id": [f"A{number}" for number in range(400)], "note": large}, compression="zstd")
