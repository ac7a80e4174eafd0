"""The feature space laid out in the plane, from epoch to epoch without jumps."""

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_viz.functional.neighbours import check_points, nearest_neighbours

__all__ = ["ITERATIONS", "Engine", "align", "drift", "tsne", "tsne_engine"]

Engine = Literal["auto", "openTSNE", "scikit-learn"]
"""Who computes a t-SNE; ``"auto"`` takes openTSNE where it is installed."""

ITERATIONS = {"openTSNE": (750, 100), "scikit-learn": (1000, 250)}
"""How many by default: of a cold start, of a warm one."""

EXAGGERATED = 250
"""The first iterations of a cold start pull clusters together; in a warm one even a little of it lets points wander."""

COMPONENTS = 100
"""Of the usual 50 the divergence on MNIST is 4 % larger, for the same time."""

FEWEST = 5
START = 1e-4
"""Spread of the first layout of a cold start."""

Array = npt.NDArray[np.float32]


def tsne(
    features: Tensor,
    init: Tensor | None = None,
    perplexity: float = 30.0,
    seed: int = 0,
    iterations: int | None = None,
    engine: Engine = "auto",
) -> Tensor:
    """Lay points out in the plane so that those with similar features are near each other.

    A cold start begins with the first two principal components. A warm one begins with ``init``, the layout of the last
    epoch, and goes on from there for a few iterations: points move instead of jumping, ten times as fast.

    Args:
        features: ``(N, D)`` float. Reduced to 100 principal components first. Left untouched.
        init: ``(N, 2)`` layout to go on from. A point that is NaN there starts between its neighbours in feature space.
        perplexity: About how many neighbours a point has; at most (N - 1) / 3 is used.
        seed: The same seed gives the same layout, whatever the number of threads.
        iterations: How many in all; when omitted, with openTSNE 750 cold and 100 warm, with scikit-learn 1000 and 250.
            scikit-learn takes no fewer than 250.
        engine: ``"auto"``, ``"openTSNE"`` (extra ``tsne``) or ``"scikit-learn"``.

    Returns:
        ``(N, 2)`` float32 on the CPU, centred; NaN rows where features are NaN or infinite. Where there is nothing to
        lay out the answer is simple: zeros where all features are equal, the first two principal components for
        fewer than 5 points. O(N log N) an iteration, O(N (D + perplexity)) memory; the search for neighbours takes
        O(N^2) time. The random streams of torch, NumPy and Python are left as they are.

    Raises:
        ValueError: Shapes that do not fit, no such engine, a perplexity that is not positive, iterations below 1.
        ImportError: openTSNE is asked for and not installed.

    Source: van der Maaten & Hinton, Visualizing data using t-SNE, 2008; Kobak & Berens, The art of using t-SNE for
    single-cell transcriptomics, 2019 (the start); Poličar et al., openTSNE, 2024.

    Example:
        >>> features = torch.randn(60, 16)
        >>> layout = tsne(features)
        >>> tsne(features + 0.01 * torch.randn(60, 16), init=layout).shape
        torch.Size([60, 2])
    """
    _check(features, init, perplexity, iterations)
    chosen = tsne_engine(engine).split()[0]
    given = features.detach().float().cpu()
    rows = given.isfinite().all(1)
    layout = given.new_full((len(given), 2), torch.nan)
    if rows.any():
        before = None if init is None else init.detach().float().cpu()[rows]
        places = _lay_out(given[rows].numpy(), before, perplexity, seed, iterations, chosen)
        layout[rows] = torch.as_tensor(places - places.mean(0, dtype=np.float64), dtype=torch.float32)
    return layout


def tsne_engine(engine: Engine = "auto") -> str:
    """Say who computes a t-SNE, with the version.

    Raises:
        ValueError: No such engine.
        ImportError: openTSNE is asked for and not installed.

    Example:
        >>> tsne_engine("scikit-learn").split()[0]
        'scikit-learn'
    """
    if engine not in get_args(Engine):
        raise ValueError(f"tsne(engine={engine!r}): choices: {', '.join(map(repr, get_args(Engine)))}.")
    if engine != "scikit-learn":
        try:
            import openTSNE  # noqa: PLC0415 (optional)
        except ImportError as error:
            if engine == "openTSNE":
                raise ImportError(
                    f'tsne(engine="openTSNE"): it can not be imported ({error}). pip install "lightning-viz[tsne]"'
                ) from error
        else:
            return f"openTSNE {openTSNE.__version__}"
    import sklearn  # noqa: PLC0415 (takes a second to import)

    return f"scikit-learn {sklearn.__version__}"


def _check(features: Tensor, init: Tensor | None, perplexity: float, iterations: int | None) -> None:
    check_points(features, "features", "tsne")
    if init is not None and init.shape != (len(features), 2):
        raise ValueError(f"tsne(init=...): must be ({len(features)}, 2), as the features; got {tuple(init.shape)}.")
    if not 0 < perplexity < np.inf:
        raise ValueError(f"tsne(perplexity={perplexity}): must be above 0.")
    if iterations is not None and iterations < 1:
        raise ValueError(f"tsne(iterations={iterations}): must be at least 1.")


def _lay_out(
    features: Array, init: Tensor | None, perplexity: float, seed: int, iterations: int | None, engine: str
) -> Array:
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 (comes with scikit-learn)

    threads = torch.get_num_threads()
    # One thread: sums in another order would lead to another layout. openTSNE keeps the order.
    with threadpool_limits(1):
        points = _principal_components(features, seed)
        if len(points) < FEWEST or not points.any():
            return points[:, :2]
        perplexity = min(perplexity, (len(points) - 1) / 3)
        start = None if init is None else _warm_start(init, points)
        cold = start is None
        start = _cold_start(points, seed) if start is None else start
        steps = iterations or ITERATIONS[engine][0 if cold else 1]
        if engine == "openTSNE":
            return _with_open_tsne(points, start, perplexity, steps, cold, threads)
        return _with_scikit_learn(points, start, perplexity, steps, cold)


def _principal_components(points: Array, seed: int) -> Array:
    """Give (n, 2 to 100), scaled; zeros where all points are equal."""
    if not (points != points[0]).any():
        return np.zeros((len(points), 2), np.float32)
    from sklearn.decomposition import PCA  # noqa: PLC0415 (takes a second to import)

    # Scaled by a power of two, which is exact, so that no square overflows or vanishes; centred for what is far from 0.
    points = np.ldexp(points, -np.frexp(np.abs(points).max())[1])
    points -= points.mean(0, dtype=np.float64).astype(np.float32)
    found: Array = PCA(min(COMPONENTS, *points.shape), random_state=seed).fit_transform(points)
    return np.asarray(np.pad(found, ((0, 0), (0, max(0, 2 - found.shape[1])))))


def _cold_start(points: Array, seed: int) -> Array:
    start = points[:, :2] / points[:, 0].std() * START
    # So that equal points part, and a line can become a plane.
    noise = np.random.RandomState(seed).normal(0, START / 100, start.shape)
    return np.asarray(start + noise, np.float32)


def _warm_start(init: Tensor, points: Array) -> Array | None:
    """Complete the last layout; None where it has no two places."""
    known = init.isfinite().all(1)
    if not known.any() or not (init[known] != init[known][0]).any():
        return None
    start = init.clone()
    if not known.all():
        features = torch.as_tensor(points)
        near = nearest_neighbours(features[~known], features[known], FEWEST).indices
        places = init[known][near.clamp(min=0)].masked_fill((near < 0)[..., None], torch.nan)
        start[~known] = places.nanmean(1)
    return np.asarray(start - start.mean(0))


def _with_open_tsne(points: Array, start: Array, perplexity: float, steps: int, cold: bool, threads: int) -> Array:
    from openTSNE import TSNEEmbedding, affinity  # noqa: PLC0415 (optional)

    # Up to some 10,000 points an exact search is faster than an approximate one, and Barnes-Hut than interpolation.
    similar = affinity.PerplexityBasedNN(points, perplexity, method="exact", n_jobs=threads)
    layout = TSNEEmbedding(start.astype(np.float64), similar, n_jobs=threads)
    first = min(EXAGGERATED, steps // 2) if cold else 0
    layout.optimize(first, exaggeration=12, momentum=0.8, inplace=True)
    layout.optimize(steps - first, momentum=0.8, inplace=True)
    return np.asarray(layout)


def _with_scikit_learn(points: Array, start: Array, perplexity: float, steps: int, cold: bool) -> Array:
    from sklearn.manifold import TSNE  # noqa: PLC0415 (takes a second to import)

    exaggeration = 12 if cold else 1
    run = TSNE(perplexity=perplexity, early_exaggeration=exaggeration, max_iter=max(steps, EXAGGERATED), init=start)
    return np.asarray(run.fit_transform(points))


def align(layout: Tensor, reference: Tensor) -> Tensor:
    """Turn, mirror and shift a layout onto another of the same points, as near as it gets; nothing is scaled.

    Args:
        layout: ``(N, 2)`` float. Left untouched.
        reference: ``(N, 2)`` float. Points that are NaN in either have no say.

    Returns:
        ``(N, 2)`` as the layout; unchanged where no point is in both.

    Raises:
        ValueError: Shapes that do not fit.

    Source: Schönemann, A generalized solution of the orthogonal Procrustes problem, 1966.

    Example:
        >>> reference = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
        >>> align(reference.flip(1) + 5, reference).round(decimals=3).abs()
        tensor([[0., 0.],
                [2., 0.],
                [0., 1.]])
    """
    both = _in_both(layout, reference, "align")
    if not both.any():
        return layout.clone()
    from scipy.linalg import orthogonal_procrustes  # noqa: PLC0415 (takes long to import)

    moved, fixed = (part.detach().cpu().double() for part in (layout, reference))
    here, there = moved[both].mean(0), fixed[both].mean(0)
    turn, _ = orthogonal_procrustes((moved[both] - here).numpy(), (fixed[both] - there).numpy())
    return ((moved - here) @ torch.as_tensor(turn) + there).to(layout)


def drift(layout: Tensor, reference: Tensor) -> float:
    """Say how far points have moved: the root mean square of their ways, by that of their distances from the centre.

    Args:
        layout: ``(N, 2)`` float. Left untouched.
        reference: ``(N, 2)`` float, the layout before; the distances from the centre are measured here. Points that
            are NaN in either do not count.

    Returns:
        0 where nothing moved, about 1.4 where nothing stayed; NaN where no point is in both, or where the
        reference is a single place.

    Raises:
        ValueError: Shapes that do not fit.

    Example:
        >>> round(drift(torch.tensor([[1.0, 0.5], [-1.0, 0.5]]), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])), 3)
        0.5
    """
    both = _in_both(layout, reference, "drift")
    moved, fixed = (part.detach().cpu().double()[both] for part in (layout, reference))
    radius = (fixed - fixed.mean(0)).square().sum(1).mean().sqrt()
    way = (moved - fixed).square().sum(1).mean().sqrt()
    return float(way / radius) if radius > 0 else torch.nan


def _in_both(layout: Tensor, reference: Tensor, who: str) -> Tensor:
    if layout.ndim != 2 or layout.shape != reference.shape or not layout.is_floating_point():
        raise ValueError(
            f"{who}: layout and reference must be (N, 2) of a float type, of the same points; got "
            f"{tuple(layout.shape)} {layout.dtype} and {tuple(reference.shape)} {reference.dtype}."
        )
    return layout.isfinite().all(1).cpu() & reference.isfinite().all(1).cpu()
