import copy

import numpy as np
import pytest
import torch
from helpers.checks import left_as_found
from helpers.drawings import only
from torch import Tensor, nn

from lightning_viz import FilterImages
from lightning_viz.render import filter_grid


class Masked(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        mask = torch.ones_like(self.weight)
        mask[:, :, :, 2:] = 0
        return self._conv_forward(x, self.weight * mask, self.bias)


def test_the_picture_and_the_values_are_of_the_weights_that_are_used():
    model = nn.Sequential(Masked(3, 5, (3, 4), stride=2))
    with left_as_found(model):
        drawing = only(FilterImages(), model)
    used = model[0].weight.detach().clone()
    used[:, :, :, 2:] = 0
    assert np.array_equal(drawing.values["weight"], used)
    assert np.array_equal(drawing.pictures[0], filter_grid(used).picture)
    assert not np.array_equal(drawing.pictures[0], filter_grid(model[0].weight).picture)
    assert dict(drawing.meta) | {"vmin": 0, "vmax": 0} == {
        "kernel": [3, 4],
        "stride": [2, 2],
        "columns": drawing.meta["columns"],
        "scale": "filter",
        "vmin": 0,
        "vmax": 0,
    }
    assert (drawing.meta["vmin"], drawing.meta["vmax"]) == pytest.approx((float(used.min()), float(used.max())))


@pytest.mark.parametrize("scale", ["filter", "shared"])
def test_complex_weights_are_drawn_as_magnitude_and_phase(scale):
    model = nn.Sequential(nn.Conv2d(3, 5, (3, 4), dtype=torch.complex64))
    drawing = only(FilterImages(scale=scale), model)
    weight = copy.deepcopy(model[0].weight).detach()
    rebuilt = torch.polar(*(torch.as_tensor(drawing.arrays[name]) for name in ("magnitude", "phase")))
    torch.testing.assert_close(rebuilt, weight)
    magnitude, phase = filter_grid(weight.abs(), scale), filter_grid(weight.angle(), "shared")
    assert all(np.array_equal(*pair) for pair in zip(drawing.pictures, (magnitude.picture, phase.picture), strict=True))
    assert drawing.captions == [f"magnitude: {magnitude.caption}", f"phase: {phase.caption}"]
    assert drawing.meta["vmax"] == pytest.approx(float(weight.abs().max()))
    assert all(array.dtype == np.float32 for array in drawing.arrays.values())
