"""Flower's records: their arrays as NumPy sees them, copies that share nothing that can change, their size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.app.metadata import Metadata
from flwr.common.constant import SType
from numpy.typing import NDArray

Arrays = dict[str, NDArray]
PLAIN = np.lib.format.magic(1, 0)  # how files of NumPy's first format begin


def to_arrays(record: ArrayRecord) -> Arrays:
    """Return the arrays of a record by name.

    Parameters
    ----------
    record : flwr.app.ArrayRecord

    Returns
    -------
    dict of str to ndarray
        New arrays, in the record's order.
    """
    return {name: _read(array) for name, array in record.items()}


def _read(array: Array) -> NDArray:
    """Return the array that NumPy has written, past its reader, which parses the same header anew each time."""
    data = array.data
    if array.stype != SType.NUMPY or data[:8] != PLAIN:
        return array.numpy()
    start = 10 + int.from_bytes(data[8:10], "little")
    shape, in_columns, dtype = _header(bytes(data[8:start]))
    count = math.prod(shape)
    if dtype.hasobject or len(data) != start + count * dtype.itemsize:
        return array.numpy()  # refuses it
    flat = np.frombuffer(data, dtype, count, start)
    return flat.reshape(shape, order="F" if in_columns else "C").copy(order="K")


@lru_cache(maxsize=512)
def _header(written: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    return np.lib.format.read_array_header_1_0(BytesIO(written))


def to_record(arrays: Mapping[str, NDArray]) -> ArrayRecord:
    """Return a record of named arrays.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Of any shapes and types; NumPy's scalars count as arrays without axes.

    Returns
    -------
    flwr.app.ArrayRecord
        A copy, serialised.

    Raises
    ------
    TypeError
        An array of objects.
    """
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise TypeError(f"The array '{name}' holds objects, and only numbers can be sent.")
    return ArrayRecord({name: Array(np.asarray(array)) for name, array in arrays.items()})


def mismatch(arrays: Arrays, like: Arrays) -> str:
    """Say what keeps a client's arrays from being averaged as those that it was sent, or nothing where nothing does.

    Real and complex arrays are averaged. Whole numbers and truth values are not: one without axes is a counter, which
    stays what the server has, and those with axes must come back as they were.
    """
    if arrays.keys() != like.keys():
        missing, unknown = sorted(like.keys() - arrays.keys()), sorted(arrays.keys() - like.keys())
        return f"it returned other arrays than it was sent: {missing} are missing, {unknown} are unknown"
    for name, array in arrays.items():
        old = like[name]
        dtype, kind = old.dtype, old.dtype.kind
        if array.shape != old.shape:
            return f"its array '{name}' has the shape {array.shape} and not {old.shape}"
        if kind not in "fciub" or (array.dtype != dtype and not np.can_cast(array.dtype, dtype, "same_kind")):
            return f"its array '{name}' is of the type {array.dtype}, which cannot be averaged as {dtype}"
        if kind in "iub" and old.ndim and not np.array_equal(array, old):
            return f"its array '{name}' has changed, and {dtype} is not averaged"
    return ""


def unusable(arrays: Arrays, like: Arrays) -> str:
    """Say also where arrays hold NaN or infinity, or would once they have the types of those that were sent."""
    if problem := mismatch(arrays, like):
        return problem
    with np.errstate(over="ignore"):
        for name, array in arrays.items():
            dtype = like[name].dtype
            if dtype.kind in "fc" and not np.isfinite(array if array.dtype == dtype else array.astype(dtype)).all():
                return f"its array '{name}' holds values that are not finite"
    return ""


def copied(content: RecordDict) -> RecordDict:
    """Return a copy of the content of a message, or of a client's state, that its owner may change at will.

    The serialised arrays are bytes, which nobody can change: they are shared, and so the copy takes little time.
    """
    return RecordDict({name: _copied(record) for name, record in content.items()})


def _copied(record: ArrayRecord | MetricRecord | ConfigRecord) -> ArrayRecord | MetricRecord | ConfigRecord:
    other = type(record)()  # given a dictionary, it would check each value, and copy each array, once more
    if isinstance(record, ArrayRecord):
        values = {name: _shared(array) for name, array in record.items()}
    else:
        values = {name: list(value) if isinstance(value, list) else value for name, value in record.items()}
    other.__dict__["_data"].update(values)
    return other


def _shared(array: Array) -> Array:
    """Return another array with the same bytes, past the checks of Flower's constructor, which cost more than it."""
    other = object.__new__(Array)
    kept = {"dtype": array.dtype, "shape": tuple(array.shape), "stype": array.stype, "data": bytes(array.data)}
    other.__dict__.update(kept)
    return other


def passed_on(message: Message, content: RecordDict) -> Message:
    """Return a message with other content, whose metadata its owner may change too, past Flower's constructors."""
    metadata, other = object.__new__(Metadata), object.__new__(Message)
    metadata.__dict__.update(message.metadata.__dict__)
    other.__dict__.update(_metadata=metadata, _content=content, _error=None)
    return other


def count_bytes(content: RecordDict) -> int:
    """Return the size of the content of a message as Flower counts it: data, NumPy's headers and names.

    Parameters
    ----------
    content : flwr.app.RecordDict
        Records of arrays, metrics and configuration.

    Returns
    -------
    int
        Bytes, without what the transport adds or compresses.

    Examples
    --------
    >>> count_bytes(RecordDict({"arrays": to_record({"w": np.zeros(100, np.float32)})}))  # 400 of them are the numbers
    529
    """
    return sum(record.count_bytes() for record in content.values())
