"""Arrays in and out of Flower's records, compared with Flower's own reading and writing."""

from __future__ import annotations

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from edgebook.federated import to_arrays, to_record
from edgebook.federated.records import copied

DTYPES = st.sampled_from(["<f4", "<f8", "<f2", "<i8", "<i4", "|u1", "|b1", ">f4", "<c8"]).map(np.dtype)


@given(st.data())
def test_what_is_read_is_what_flower_reads(data: st.DataObject) -> None:
    array = data.draw(DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0))))
    array = np.asarray(array, order=data.draw(st.sampled_from("CF")))
    record = to_record({"a": array})
    found, expected = to_arrays(record)["a"], record["a"].numpy()
    assert found.dtype == expected.dtype
    assert found.flags.writeable
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found, array)
    assert found.flags.f_contiguous == expected.flags.f_contiguous


def test_an_array_that_is_cut_off_is_refused_as_flower_refuses_it() -> None:
    whole = Array(np.arange(5.0))
    cut = Array(whole.dtype, whole.shape, whole.stype, whole.data[:-3])
    for read in (cut.numpy, lambda: to_arrays(ArrayRecord({"a": cut}))):
        with pytest.raises(ValueError, match="expected 40 bytes got 37"):
            read()


def test_arrays_of_objects_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match="The array 'b' holds objects"):
        to_record({"a": np.ones(2), "b": np.array([1, None])})


def test_a_copy_is_equal_for_flower_too_and_shares_nothing_that_changes() -> None:
    content = RecordDict({
        "arrays": to_record({"w": np.eye(2, dtype=np.float32), "n": np.array(3)}),
        "metrics": MetricRecord({"loss": [1.0, 2.0]}), "config": ConfigRecord({"name": "a"}),
    })  # fmt: skip
    other = copied(content)
    assert other == content
    assert other["arrays"].object_id == content["arrays"].object_id
    other["metrics"]["loss"].append(3.0)
    other["config"]["name"] = "b"
    del other["arrays"]["n"]
    assert content["metrics"]["loss"] == [1.0, 2.0]
    assert (content["config"]["name"], list(content["arrays"])) == ("a", ["w", "n"])
