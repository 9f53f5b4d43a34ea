"""Flower's records: their arrays as NumPy sees them, copies that share nothing that can change, their size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from numpy.typing import NDArray

Arrays = dict[str, NDArray]


def to_arrays(record: ArrayRecord) -> Arrays:
    """Return the arrays of a record by name.

    Parameters
    ----------
    record : flwr.app.ArrayRecord
        Named arrays, serialised.

    Returns
    -------
    dict of str to ndarray
        New arrays, in the record's order.
    """
    return {name: array.numpy() for name, array in record.items()}


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
    """
    return ArrayRecord({name: Array(np.asarray(array)) for name, array in arrays.items()})


def copied(content: RecordDict) -> RecordDict:
    """Return a copy of the content of a message, or of a client's state, that its owner may change at will.

    The serialised arrays are bytes, which nobody can change: they are shared, and so the copy takes little time.

    Parameters
    ----------
    content : flwr.app.RecordDict
        Records of arrays, metrics and configuration.

    Returns
    -------
    flwr.app.RecordDict
        Equal to the original.
    """
    return RecordDict({name: _copied(record) for name, record in content.items()})


def _copied(record: ArrayRecord | MetricRecord | ConfigRecord) -> ArrayRecord | MetricRecord | ConfigRecord:
    if isinstance(record, ArrayRecord):
        return ArrayRecord({name: _shared(array) for name, array in record.items()})
    values = {name: list(value) if isinstance(value, list) else value for name, value in record.items()}
    return type(record)(values)


def _shared(array: Array) -> Array:
    """Return another array with the same bytes, past the checks of Flower's constructor, which cost more than it."""
    other = object.__new__(Array)
    other.dtype, other.shape, other.stype, other.data = array.dtype, tuple(array.shape), array.stype, bytes(array.data)
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
    """
    return sum(record.count_bytes() for record in content.values())
