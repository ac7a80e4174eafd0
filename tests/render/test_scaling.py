import math

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lightning_viz.render.scaling import as_floats, finite_range, to_bytes

pytestmark = pytest.mark.filterwarnings("error")

FLOATS = st.floats(width=32, allow_subnormal=False)
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)
LARGEST = float(np.finfo(np.float32).max)


def arrays(elements, dims=1):
    return hnp.arrays(np.float32, hnp.array_shapes(min_dims=dims, max_dims=dims, max_side=5), elements=elements)


@given(arrays(FLOATS, dims=3))
def test_finite_range_is_that_of_a_loop(values):
    low, high = finite_range(values, axes=(1, 2))
    assert low.shape == high.shape == (len(values), 1, 1)
    assert low.dtype == high.dtype == np.float32
    for row, smallest, largest in zip(values, low.flat, high.flat, strict=True):
        finite = [value for value in row.flat if math.isfinite(value)] or [0]
        assert (smallest, largest) == (min(finite), max(finite))


@given(arrays(FINITE))
@example(np.array([-LARGEST, 0, LARGEST], np.float32))
@example(np.array([1e-38, 2e-38], np.float32))
@example(np.array([0, 1e-40], np.float32))
def test_bytes_grow_with_the_values_from_0_to_255(values):
    low, high = finite_range(values, axes=(0,))
    steps = to_bytes(values, low, high)
    assert steps.dtype == np.uint8
    assert (np.diff(steps[np.argsort(values, kind="stable")].astype(int)) >= 0).all()
    if high / 2 > low / 2:
        assert steps[values.argmin()] == 0
        assert steps[values.argmax()] == 255
    else:
        assert (steps == 128).all()


@given(arrays(st.floats(-100, 100, width=32)), st.floats(-50, 0, width=32), st.floats(1, 50, width=32))
def test_bytes_are_linear_and_clipped(values, low, high):
    exact = (values.astype(np.float64) - low) / (high - low) * 255
    assert np.abs(to_bytes(values, low, high) - exact.clip(0, 255)).max() <= 0.501


@given(arrays(FINITE), FINITE)
def test_a_range_of_nothing_is_grey_between_black_and_white(values, at):
    steps = to_bytes(np.append(values, np.float32(at)), at, at)
    assert steps[-1] == 128
    assert (np.diff(steps[np.argsort(np.append(values, at), kind="stable")].astype(int)) >= 0).all()


def test_outside_a_range_of_nothing_is_clipped():
    assert to_bytes(np.float32([-0.1, 0, 0.1]), 0.0, 0.0).tolist() == [0, 128, 255]


def test_what_is_not_finite_leaves_the_others_alone():
    values = np.float32([0, np.nan, 1, np.inf, 2, -np.inf])
    steps = to_bytes(values, *finite_range(values, axes=(0,)))
    assert steps[[0, 2, 4]].tolist() == [0, 128, 255]


def test_nothing_finite_has_the_range_zero():
    low, high = finite_range(np.full((2, 3), np.nan, np.float32), axes=(0, 1))
    assert (low.item(), high.item()) == (0, 0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int32])
def test_tensors_of_any_type_become_float32(dtype):
    floats = as_floats(torch.tensor([[1, 2.5]]).to(dtype))
    assert floats.dtype == np.float32
    assert floats.tolist() == torch.tensor([[1, 2.5]]).to(dtype).tolist()


def test_a_tensor_that_requires_grad_becomes_float32():
    assert as_floats(torch.nn.Parameter(torch.ones(2))).tolist() == [1, 1]
