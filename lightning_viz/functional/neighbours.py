"""Which points are near each other in feature space, and how well classes part there."""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from lightning_viz.data.batches import spread

__all__ = [
    "Metric",
    "Neighbours",
    "check_points",
    "knn_accuracy",
    "nearest_neighbours",
    "silhouette",
    "trustworthiness",
]

Metric = Literal["euclidean", "cosine"]
"""How far apart two features are."""

MOST = 2000
"""So many points are looked at where every pair of them counts."""

CHUNK_MIB = 64
"""Of the distances that are held at a time."""


class Neighbours(NamedTuple):
    """The k nearest points of each query, nearest first.

    ``distances (Q, k)`` float32, NaN where missing; ``indices (Q, k)`` int64 into the features, -1 where missing.
    """

    distances: Tensor
    indices: Tensor


def nearest_neighbours(queries: Tensor | None, features: Tensor, k: int, metric: Metric = "euclidean") -> Neighbours:
    """Find the points whose features are most like those of each query.

    Args:
        queries: ``(Q, D)`` float. None asks for the neighbours of the points themselves: each point is left out of its
            own (and only it: a duplicate of it is a neighbour at distance 0).
        features: ``(N, D)`` float of the points. Left untouched, and so are the queries.
        k: How many. Where there are fewer points, the rest is missing.
        metric: ``"euclidean"``, or ``"cosine"``: one minus the cosine, from 0 to 2, and 1 for a zero vector.

    Returns:
        Distances and indices. A row with NaN or infinity is nobody's neighbour and has none. O(Q N D) time; of the
        distances only a part is held at a time.

    Raises:
        ValueError: Shapes that do not fit, no such metric, k below 1.

    Example:
        >>> nearest_neighbours(None, torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]), k=1).indices[:, 0]
        tensor([2, 2, 0])
    """
    who = "nearest_neighbours"
    check_points(features, "features", who)
    if k < 1:
        raise ValueError(f"{who}(k={k}): must be at least 1.")
    if metric not in get_args(Metric):
        raise ValueError(f"{who}(metric={metric!r}): choices: {', '.join(map(repr, get_args(Metric)))}.")
    if queries is not None:
        check_points(queries, "queries", who)
        if queries.shape[1] != features.shape[1]:
            raise ValueError(
                f"{who}: queries {tuple(queries.shape)} and features {tuple(features.shape)} must be as wide."
            )
    asked, points = _finite_rows(features if queries is None else queries), _finite_rows(features)
    count = len(features if queries is None else queries)
    distances = torch.full((count, k), torch.nan, dtype=torch.float32)
    indices = torch.full((count, k), -1)
    found = min(k, len(points) - (queries is None))
    if found > 0 and len(asked):
        near, at = _search(None if queries is None else queries[asked], features[points], found, metric)
        distances[asked, :found], indices[asked, :found] = near, points[at]
    return Neighbours(distances, indices)


def _search(queries: Tensor | None, points: Tensor, k: int, metric: Metric) -> tuple[Tensor, Tensor]:
    from sklearn import config_context  # noqa: PLC0415 (takes a second to import)
    from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415

    with config_context(working_memory=CHUNK_MIB):
        search = NearestNeighbors(n_neighbors=k, algorithm="brute", metric=metric).fit(_numbers(points).numpy())
        distances, indices = search.kneighbors(None if queries is None else _numbers(queries).numpy())
    return torch.as_tensor(distances).float(), torch.as_tensor(indices)


def knn_accuracy(labels: Tensor | None, indices: Tensor) -> float:
    """Say of how many points the nearest others tell the class: the leave-one-out accuracy of k nearest neighbours.

    The most frequent label among a point's neighbours is the answer; of equally frequent ones the smallest, as in
    scikit-learn.

    Args:
        labels: ``(N,)`` whole numbers, or None; a point of no class, -1, has no vote and does not count.
        indices: ``(N, k)`` of ``nearest_neighbours(None, features, k)``; what is -1 has no vote, and a point
            without neighbours does not count.

    Returns:
        From 0 to 1; NaN without labels or without any neighbour.

    Raises:
        ValueError: Shapes that do not fit.

    Example:
        >>> knn_accuracy(torch.tensor([0, 0, 1]), torch.tensor([[1], [0], [0]]))
        0.6666666865348816
    """
    if labels is None:
        return torch.nan
    labels, indices = labels.cpu(), indices.cpu()
    if labels.ndim != 1 or indices.ndim != 2 or len(labels) != len(indices) or labels.is_floating_point():
        raise ValueError(
            f"knn_accuracy: labels must be (N,) whole numbers and indices (N, k); got {tuple(labels.shape)} "
            f"{labels.dtype} and {tuple(indices.shape)}."
        )
    votes = labels[indices.clamp(min=0)]
    there = (indices >= 0) & (votes >= 0)
    counts = ((votes[:, :, None] == votes[:, None]) & there[:, None]).sum(2)
    winners = (counts == counts.amax(1, keepdim=True)) & there
    answers = votes.masked_fill(~winners, torch.iinfo(votes.dtype).max).amin(1)
    return float((answers == labels)[there.any(1) & (labels >= 0)].float().mean())


def trustworthiness(features: Tensor, layout: Tensor, k: int = 10) -> float:
    """Say how far neighbours in a layout are neighbours in feature space too.

    Args:
        features: ``(N, D)`` float. Left untouched.
        layout: ``(N, 2)`` float. Left untouched.
        k: How many neighbours; fewer where there are not more than twice as many points.

    Returns:
        From 0 to 1, all of them; NaN for fewer than 3 points. Points with NaN or infinity do not count. Of more
        than 2,000 points so many are looked at, spread over all: O(N^2) time and memory for at most 2,000.

    Raises:
        ValueError: Shapes that do not fit, k below 1.

    Source: Venna & Kaski, Neighborhood preservation in nonlinear projection methods, ICANN 2001.

    Example:
        >>> points = torch.randn(50, 2)
        >>> trustworthiness(points, 3 * points)
        1.0
    """
    check_points(features, "features", "trustworthiness")
    check_points(layout, "layout", "trustworthiness")
    if len(layout) != len(features):
        raise ValueError(f"trustworthiness: {len(features)} features but {len(layout)} places in the layout.")
    if k < 1:
        raise ValueError(f"trustworthiness(k={k}): must be at least 1.")
    rows = _some(_finite_rows(features, layout))
    k = min(k, (len(rows) - 1) // 2)
    if k < 1:
        return torch.nan
    from sklearn import manifold  # noqa: PLC0415 (takes a second to import)

    return float(manifold.trustworthiness(_numbers(features[rows]), _numbers(layout[rows]), n_neighbors=k))


def silhouette(features: Tensor, labels: Tensor | None) -> float:
    """Say how much nearer points are to their own class than to the next: the mean silhouette.

    Args:
        features: ``(N, D)`` float. Left untouched.
        labels: ``(N,)`` whole numbers, or None; a point of no class, -1, does not count.

    Returns:
        From -1 to 1; NaN without labels, for one class only, or where no class has two points. Points with NaN or
        infinity do not count. Of more than 2,000 points so many are looked at, spread over all.

    Raises:
        ValueError: Shapes that do not fit.

    Source: Rousseeuw, Silhouettes: a graphical aid to the interpretation and validation of cluster analysis, 1987.

    Example:
        >>> round(silhouette(torch.tensor([[0.0], [1.0], [9.0], [10.0]]), torch.tensor([0, 0, 1, 1])), 2)
        0.89
    """
    check_points(features, "features", "silhouette")
    if labels is None:
        return torch.nan
    if labels.shape != features.shape[:1]:
        raise ValueError(f"silhouette: labels must be ({len(features)},); got {tuple(labels.shape)}.")
    finite, labels = _finite_rows(features), labels.cpu()
    rows = _some(finite[labels[finite] >= 0])
    chosen = labels[rows]
    if not 1 < len(set(chosen.tolist())) < len(chosen):
        return torch.nan
    from sklearn import config_context  # noqa: PLC0415 (takes a second to import)
    from sklearn.metrics import silhouette_score  # noqa: PLC0415

    with config_context(working_memory=CHUNK_MIB):
        return float(silhouette_score(_numbers(features[rows]).numpy(), chosen.numpy()))


def check_points(points: Tensor, name: str, who: str) -> None:
    """Refuse what is no list of points.

    Raises:
        ValueError: The message says what came.
    """
    if not isinstance(points, Tensor) or points.ndim != 2 or not points.is_floating_point() or not points.shape[1]:
        came = f"{tuple(points.shape)} {points.dtype}" if isinstance(points, Tensor) else type(points).__name__
        raise ValueError(f"{who}({name}=...): must be (N, D) of a float type; got {came}.")


def _finite_rows(*points: Tensor) -> Tensor:
    return torch.stack([part.isfinite().all(1).cpu() for part in points]).all(0).nonzero()[:, 0]


def _some(rows: Tensor) -> Tensor:
    return rows[spread(len(rows), MOST)]


def _numbers(points: Tensor) -> Tensor:
    return points.detach().float().cpu()
