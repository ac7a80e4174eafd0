"""Layouts against scikit-learn's t-SNE, from epoch to epoch, and where there is little or nothing to lay out."""

import subprocess
import sys
import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from helpers.checks import snapshot
from helpers.data import seed
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes
from scipy.spatial.distance import pdist, squareform
from sklearn.datasets import load_digits
from sklearn.manifold import TSNE
from sklearn.manifold._t_sne import _joint_probabilities
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from lightning_viz.functional import align, drift, trustworthiness, tsne, tsne_engine

ENGINES = ["openTSNE", "scikit-learn"]
both_engines = pytest.mark.parametrize("engine", ENGINES)
DIGITS = torch.tensor(load_digits().data[:600] / 16).float()


def noise(*shape: int, number: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(number))


@cache
def layout_of_digits(engine: str) -> Tensor:
    return tsne(DIGITS, engine=engine)


def divergence(features: Tensor, layout: Tensor) -> float:
    """Kullback-Leibler divergence over all pairs, with scikit-learn's exact affinities."""
    affinities = _joint_probabilities(squareform(pdist(features, "sqeuclidean")).astype(np.float32), 30, 0)
    near = 1 / (1 + pdist(layout.double(), "sqeuclidean"))
    return float(2 * affinities @ np.log(affinities / (near / (2 * near.sum()))))


@both_engines
def test_a_cold_layout_is_as_good_as_that_of_scikit_learn(engine: str) -> None:
    theirs = torch.tensor(TSNE(random_state=0).fit_transform(DIGITS.numpy()))
    found = layout_of_digits(engine)
    assert found.dtype == torch.float32
    assert divergence(DIGITS, found) <= 1.05 * divergence(DIGITS, theirs)
    assert trustworthiness(DIGITS, found) >= trustworthiness(DIGITS, theirs) - 0.005


@both_engines
def test_a_warm_layout_of_slightly_changed_features_hardly_moves_and_is_as_good(engine: str) -> None:
    before = layout_of_digits(engine)
    changed = DIGITS + 0.1 * noise(*DIGITS.shape)
    warm, cold = tsne(changed, before, engine=engine), tsne(changed, engine=engine)
    assert drift(warm, before) <= drift(cold, before) / 4
    assert drift(align(warm, before), before) <= drift(align(cold, before), before) / 4
    assert drift(warm, before) > 0
    assert divergence(changed, warm) <= 1.05 * divergence(changed, cold)
    assert trustworthiness(changed, warm) >= trustworthiness(changed, cold) - 0.005


@both_engines
def test_the_same_seed_gives_the_same_layout_whatever_the_threads(engine: str) -> None:
    def both(seed: int = 0) -> list[Tensor]:
        cold = tsne(DIGITS[:200], engine=engine, iterations=300, seed=seed)
        return [cold, tsne(DIGITS[:200] + 0.1, cold, engine=engine)]

    before, expected = torch.get_num_threads(), both()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            with threadpool_limits(threads):
                assert all(map(torch.equal, both(), expected))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert not torch.equal(both(seed=1)[0], expected[0])


@both_engines
def test_random_streams_and_arguments_are_left_as_they_are(engine: str) -> None:
    points, init = DIGITS[:60].clone(), noise(60, 2)
    seed(0)
    before = snapshot(nn.Linear(1, 1))["streams"]
    seed(0)
    nn.Linear(1, 1)
    tsne(points, engine=engine)
    tsne(points, init, engine=engine)
    assert snapshot(nn.ReLU())["streams"] == before
    assert torch.equal(points, DIGITS[:60])
    assert torch.equal(init, noise(60, 2))


LITTLE = {
    "nothing": torch.zeros(0, 7),
    "one": noise(1, 7),
    "two": noise(2, 7),
    "four": noise(4, 7),
    "five": noise(5, 7),
    "fewer than the perplexity": noise(20, 512),
    "one feature": noise(50, 1),
    "on a line": noise(60, 1) @ noise(1, 9),
    "two values": noise(2, 8).repeat(100, 1),
    "each twice": noise(60, 8).repeat(2, 1),
    "one apart": torch.eye(80)[:1].T.repeat(1, 8),
    "an outlier": torch.cat([noise(70, 8), 1e20 * noise(1, 8)]),
    "large": 1e30 * noise(60, 8),
    "as large as they get": 3e38 * noise(60, 8).sign() + 1e37 * noise(60, 8).clamp(-1, 1),
    "small": 1e-42 * noise(60, 8),
    "far from zero": 1e4 + noise(60, 8),
    "nearly equal": 1e4 + 0.01 * noise(60, 8),
    "half": noise(60, 8).half(),
    "with a graph": noise(60, 8).requires_grad_(),
}


@both_engines
@pytest.mark.parametrize("name", LITTLE)
def test_there_is_always_a_finite_centred_layout_without_a_warning(
    name: str, engine: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    features = LITTLE[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cold = tsne(features, engine=engine)
        warm = tsne(features, cold, engine=engine)
    for layout in (cold, warm):
        assert layout.shape == (len(features), 2)
        assert layout.isfinite().all()
        if len(layout):
            torch.testing.assert_close(
                layout.mean(0), torch.zeros(2), atol=1e-4 * float(layout.abs().max()) + 1e-6, rtol=0
            )
        assert len(layout) < 2 or layout.std() > 0
    assert not "".join(capfd.readouterr())
    assert not [record for record in caplog.records if record.levelname != "INFO"]


def test_features_far_from_zero_are_laid_out_as_well() -> None:
    """With more features than components, and many more points: the least exact way of PCA."""
    features = noise(2000, 200) * torch.linspace(1, 0, 200) ** 8
    near, far = (tsne(points, iterations=60, engine="openTSNE") for points in (features, features + 1e4))
    assert trustworthiness(features, far) == pytest.approx(trustworthiness(features, near), abs=0.01)


@both_engines
def test_equal_features_lie_in_one_place(engine: str) -> None:
    features = torch.full((100, 8), 0.1)
    layout = tsne(features, engine=engine)
    assert torch.equal(layout, torch.zeros(100, 2))
    assert torch.equal(tsne(features, noise(100, 2), engine=engine), layout)
    # What starts in one place would stay there.
    assert torch.equal(tsne(DIGITS[:100], layout, engine=engine), tsne(DIGITS[:100], engine=engine))


@both_engines
def test_few_points_lie_on_their_principal_components(engine: str) -> None:
    points = torch.tensor([[3.0, 0.0, 0.0], [-3.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    layout = tsne(points, engine=engine).abs()
    torch.testing.assert_close(layout * 4, torch.tensor([[3.0, 0.0], [3.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))


@both_engines
def test_points_with_nan_have_no_place_and_the_others_are_laid_out_alone(engine: str) -> None:
    features = torch.cat([DIGITS[:40], torch.full((2, 64), torch.nan), DIGITS[40:90]])
    features[41], features[60, 3] = 0, torch.inf
    there = [row for row in range(92) if row not in (40, 60)]
    layout = tsne(features, engine=engine)
    assert layout.isnan().all(1).nonzero()[:, 0].tolist() == [40, 60]
    assert torch.equal(layout[there], tsne(features[there], engine=engine))
    assert tsne(torch.full((9, 3), torch.nan), engine=engine).isnan().all()


@both_engines
def test_a_point_that_had_no_place_starts_between_its_neighbours(engine: str) -> None:
    before = layout_of_digits(engine)
    new = [3, 77, 400]
    holed = before.clone()
    holed[new] = torch.nan
    layout = align(tsne(DIGITS, holed, engine=engine), before)
    radius = before.square().sum(1).mean().sqrt()
    assert ((layout - before)[new].norm(dim=1) < 0.5 * radius).all()
    assert drift(layout, before) < 0.2
    assert torch.equal(tsne(DIGITS[:60], torch.full((60, 2), torch.nan)), tsne(DIGITS[:60]))


def test_more_iterations_go_further() -> None:
    before = layout_of_digits("openTSNE")
    changed = DIGITS + 0.2 * noise(*DIGITS.shape)
    few, more = (tsne(changed, before, iterations=number) for number in (10, 400))
    assert divergence(changed, more) < divergence(changed, few) < divergence(changed, before)
    assert torch.equal(tsne(changed, before, iterations=100), tsne(changed, before))
    points = DIGITS[:60]
    assert torch.equal(tsne(points, iterations=1000, engine="scikit-learn"), tsne(points, engine="scikit-learn"))
    for engine in ENGINES:
        assert tsne(points, iterations=1, engine=engine).isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"perplexity": 0}, r"tsne\(perplexity=0\): must be above 0"),
        ({"perplexity": -3.0}, r"perplexity=-3\.0"),
        ({"perplexity": float("nan")}, "perplexity=nan"),
        ({"iterations": 0}, r"tsne\(iterations=0\): must be at least 1"),
        ({"engine": "umap"}, r"tsne\(engine='umap'\): choices: 'auto', 'openTSNE', 'scikit-learn'"),
        ({"init": torch.zeros(9, 2)}, r"tsne\(init=\.\.\.\): must be \(10, 2\), as the features; got \(9, 2\)"),
        ({"init": torch.zeros(10, 3)}, r"got \(10, 3\)"),
        ({"features": torch.zeros(10)}, r"tsne\(features=\.\.\.\): must be \(N, D\) of a float type; got \(10,\)"),
        ({"features": torch.zeros(10, 3).long()}, "got .*int64"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tsne(**{"features": noise(10, 4)} | arguments)


def test_without_open_tsne_it_is_scikit_learn_and_the_cure_is_named() -> None:
    code = """
import sys
sys.modules["openTSNE"] = None
import torch
from lightning_viz.functional import tsne, tsne_engine
print(tsne_engine(), tsne(torch.randn(20, 3)).shape)
tsne(torch.randn(20, 3), engine="openTSNE")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.startswith("scikit-learn 1.")
    assert "torch.Size([20, 2])" in done.stdout
    assert 'ImportError: tsne(engine="openTSNE")' in done.stderr
    assert 'pip install "lightning-viz[tsne]"' in done.stderr
    assert tsne_engine() == tsne_engine("openTSNE")


@settings(max_examples=50, deadline=None, database=None, derandomize=True)
@given(
    count=st.integers(1, 30),
    angle=st.floats(0, 7),
    mirror=st.booleans(),
    shift=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    holes=st.sets(st.integers(0, 29), max_size=5),
    number=st.integers(0, 99),
)
def test_what_was_turned_mirrored_and_shifted_comes_back(
    count: int, angle: float, mirror: bool, shift: tuple[float, float], holes: set[int], number: int
) -> None:
    reference = noise(count, 2, number=number).double() * torch.tensor([3.0, 1.0])
    turn = torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    layout = (reference * torch.tensor([1.0, -1.0 if mirror else 1.0])) @ turn + torch.tensor(shift)
    torch.testing.assert_close(align(layout, reference), reference)
    # Points without a place in one of the two have no say; at least two others fix the rest but for a mirror image.
    gone = [hole for hole in holes if hole < count]
    known = [row for row in range(count) if row not in gone]
    holed = reference.clone()
    holed[gone] = torch.nan
    back = align(layout, holed)
    assert not back.isnan().any()
    if known:
        torch.testing.assert_close(back[known], reference[known])
        assert drift(back, holed) < 1e-6 or len(known) == 1


def test_it_is_the_procrustes_of_scipy_and_scales_nothing() -> None:
    layout, reference = noise(40, 2), noise(40, 2, number=1) * 3 + 5
    found = align(layout, reference)
    here, there = layout - layout.mean(0), reference - reference.mean(0)
    turn, scale = orthogonal_procrustes(here.double(), there.double())
    torch.testing.assert_close(found, here @ torch.tensor(turn).float() + reference.mean(0))
    torch.testing.assert_close(pdist(found), pdist(layout), rtol=1e-5, atol=1e-5)
    # SciPy's procrustes also scales to unit size; what it leaves over follows from how well the turn fits.
    fit = scale / (here.norm() * there.norm())
    assert procrustes(reference, layout)[2] == pytest.approx(float(1 - fit**2), abs=1e-5)
    left = float((found - reference).norm()) ** 2
    assert left == pytest.approx(float(here.norm() ** 2 + there.norm() ** 2 - 2 * scale), rel=1e-4)


def test_nan_stays_where_it_was_and_without_common_points_nothing_moves() -> None:
    layout, reference = noise(5, 2), noise(5, 2, number=1)
    layout[0] = torch.nan
    assert align(layout, reference).isnan().all(1).tolist() == [True, False, False, False, False]
    reference[1:] = torch.nan
    assert torch.equal(align(layout, reference).nan_to_num(9), layout.nan_to_num(9))
    assert np.isnan(drift(layout, reference))


def test_drift_is_the_way_over_the_radius() -> None:
    reference = torch.tensor([[3.0, 4.0], [-3.0, -4.0], [0.0, 0.0], [torch.nan, 0.0]]) + 7
    assert drift(reference, reference) == 0
    moved = reference + torch.tensor([0.0, 2.0])
    assert drift(moved, reference) == pytest.approx(2 / (50 / 3) ** 0.5)
    assert drift(10 * moved, 10 * reference) == pytest.approx(drift(moved, reference))
    assert np.isnan(drift(torch.zeros(4, 2), torch.zeros(4, 2)))
    for function in (align, drift):
        with pytest.raises(
            ValueError, match=rf"{function.__name__}: layout and reference must be .*\(4, 2\).*\(3, 2\)"
        ):
            function(reference, reference[:3])
