import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lightning_viz.functional.synthesis.views import shifted_and_scaled


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(0))


@pytest.mark.parametrize(("height", "width", "jitter", "most"), [(8, 13, 0.25, 2), (9, 5, 0.5, 2), (4, 3, 1.0, 3)])
def test_a_shift_is_a_slice_of_the_mirrored_image_and_every_shift_occurs(height, width, jitter, most):
    images = random_images(2, 3, height, width)
    mirrored = np.pad(images.numpy(), [(0, 0), (0, 0), (most, most), (most, most)], mode="reflect")
    slices = {
        (down, right): mirrored[:, :, most + down : most + down + height, most + right : most + right + width]
        for down in range(-most, most + 1)
        for right in range(-most, most + 1)
    }
    seen = set()
    for seed in range(300):
        view = shifted_and_scaled(images, jitter, 0, generator(seed)).numpy()
        amounts = [key for key, one in slices.items() if np.array_equal(view, one)]
        assert amounts, seed
        seen.update(amounts)
    assert seen == set(slices)


@pytest.mark.parametrize("scale", [0.1, 0.3])
def test_a_ramp_is_scaled_around_its_middle(scale):
    """Of a ramp the slope tells the factor, and where it crosses its middle the shift."""
    height, width = 40, 60
    rows = torch.arange(height, dtype=torch.float32)[:, None].expand(height, width)
    columns = torch.arange(width, dtype=torch.float32).expand(height, width)
    factors = []
    for seed in range(40):
        view = shifted_and_scaled(torch.stack([rows, columns])[None], 0, scale, generator(seed))[0]
        inner = slice(15, 25), slice(25, 35)  # far from what is mirrored
        slopes = view[0][inner].diff(dim=0), view[1][inner].diff(dim=1)
        down, right = (float(slope.mean()) for slope in slopes)
        assert all(torch.allclose(slope, slope.mean(), atol=1e-4) for slope in slopes)
        assert down == pytest.approx(right, abs=0.04)  # both sides are rounded to pixels
        assert abs(float(view[0, 20].mean()) - 20) < 1
        assert abs(float(view[1, :, 30].mean()) - 30) < 1
        factors.append(1 / down)
    assert 1 - scale - 0.02 <= min(factors) < 1 - scale / 2
    assert 1 + scale / 2 < max(factors) <= 1 + scale + 0.02


def test_what_is_plain_stays_plain_and_no_amounts_change_nothing():
    plain = torch.full((1, 2, 7, 9), 0.3)
    for seed in range(20):
        assert torch.allclose(shifted_and_scaled(plain, 0.5, 0.5, generator(seed)), plain)
    images = random_images(1, 3, 7, 9)
    unused = generator(0)
    assert torch.equal(shifted_and_scaled(images, 0, 0, unused), images)
    assert torch.equal(unused.get_state(), generator(0).get_state())


@settings(max_examples=40)
@given(
    st.tuples(*[st.integers(1, 12)] * 2), st.floats(0, 1), st.floats(0, 0.9), st.integers(0, 10**6), st.integers(1, 3)
)
def test_every_size_gives_its_own_and_each_image_the_same_draw(size, jitter, scale, seed, count):
    images = random_images(3, 2, *size)
    view = shifted_and_scaled(images[:count], jitter, scale, generator(seed))
    assert view.shape == (count, 2, *size)
    assert view.isfinite().all()
    assert view.min() >= images.min() - 1e-6
    assert view.max() <= images.max() + 1e-6
    alone = [shifted_and_scaled(one[None], jitter, scale, generator(seed)) for one in images[:count]]
    assert torch.equal(torch.cat(alone), view)
