"""Neighbours and scores against scikit-learn and plain loops."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import manifold, metrics
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from lightning_viz.functional import knn_accuracy, nearest_neighbours, silhouette, trustworthiness

POINTS = torch.randn(70, 12, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("k", [1, 5, 40])
def test_neighbours_are_those_of_scikit_learn(metric: str, k: int) -> None:
    points, queries = POINTS[:50], POINTS[50:]
    exact = NearestNeighbors(algorithm="brute", metric=metric).fit(points.double())
    for found, expected in (
        (nearest_neighbours(queries, points, k, metric), exact.kneighbors(queries.double(), k)),
        (nearest_neighbours(None, points, k, metric), exact.kneighbors(None, k)),
    ):
        assert found.indices.dtype == torch.int64
        assert found.distances.dtype == torch.float32
        assert np.array_equal(found.indices, expected[1])
        np.testing.assert_allclose(found.distances, expected[0], rtol=1e-4, atol=1e-6)


@settings(max_examples=30, deadline=None, database=None, derandomize=True)
@given(
    count=st.integers(1, 12),
    width=st.integers(1, 4),
    k=st.integers(1, 14),
    holes=st.sets(st.integers(0, 11), max_size=4),
    number=st.integers(0, 99),
)
def test_of_its_own_neighbours_a_point_is_left_out(
    count: int, width: int, k: int, holes: set[int], number: int
) -> None:
    """Few levels make duplicates; the distances are those of a plain loop."""
    points = torch.randint(3, (count, width), generator=torch.Generator().manual_seed(number)).float()
    points[[hole for hole in holes if hole < count]] = torch.nan
    found = nearest_neighbours(None, points, k)
    for row, (distances, indices) in enumerate(zip(*found, strict=True)):
        others = [other for other in range(count) if other != row and not points[[row, other]].isnan().any()]
        expected = sorted(float((points[row] - points[other]).norm()) for other in others)[:k]
        there = len(expected)
        assert row not in indices
        assert len(set(indices[:there].tolist())) == there
        assert indices[there:].eq(-1).all()
        assert distances[there:].isnan().all()
        torch.testing.assert_close(distances[:there], torch.tensor(expected), atol=1e-3, rtol=0)
        torch.testing.assert_close(
            (points[indices[:there]] - points[row]).norm(dim=1), distances[:there], atol=1e-3, rtol=0
        )


def test_a_query_may_be_one_of_the_points_and_then_finds_itself() -> None:
    assert nearest_neighbours(POINTS, POINTS, 1).indices[:, 0].tolist() == list(range(70))


def test_queries_and_points_with_nan_are_missing() -> None:
    points, queries = POINTS[:4].clone(), POINTS[4:7].clone()
    points[1, 3], queries[2] = torch.nan, torch.inf
    found = nearest_neighbours(queries, points, 5)
    assert [sorted(row) for row in found.indices.tolist()] == [[-1, -1, 0, 2, 3]] * 2 + [[-1] * 5]
    assert torch.equal(found.distances.isnan(), found.indices == -1)


def test_the_cosine_of_a_zero_vector_is_zero() -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-2.0, 0.0]])
    found = nearest_neighbours(None, points, 2, "cosine")
    torch.testing.assert_close(found.distances, torch.tensor([[1.0, 1.0], [1.0, 2.0], [1.0, 2.0]]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, r"nearest_neighbours\(k=0\): must be at least 1"),
        ({"metric": "manhattan"}, r"nearest_neighbours\(metric='manhattan'\): choices: 'euclidean', 'cosine'"),
        ({"features": POINTS[0]}, r"nearest_neighbours\(features=\.\.\.\): must be \(N, D\) .*got \(12,\)"),
        ({"features": POINTS.long()}, r"of a float type; got .*int64"),
        ({"queries": POINTS[0]}, r"nearest_neighbours\(queries=\.\.\.\)"),
        ({"queries": POINTS[:, :5]}, r"queries \(70, 5\) and features \(70, 12\) must be as wide"),
    ],
)
def test_wrong_arguments_of_neighbours_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nearest_neighbours(**{"queries": POINTS, "features": POINTS, "k": 3} | arguments)


@pytest.mark.parametrize("k", [1, 4, 7])
def test_the_knn_accuracy_is_that_of_a_classifier_that_leaves_one_out(k: int) -> None:
    labels = (POINTS[:, 0] > 0).long() + 3 * (POINTS[:, 1] > 0.5).long()
    found = knn_accuracy(labels, nearest_neighbours(None, POINTS, k).indices)
    classifier = KNeighborsClassifier(k, algorithm="brute")
    expected = cross_val_score(classifier, POINTS, labels, cv=LeaveOneOut()).mean()
    assert found == pytest.approx(expected)
    assert 0 < found < 1


def test_missing_neighbours_have_no_vote() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    assert knn_accuracy(labels, torch.tensor([[1, -1, -1], [2, 0, -1], [3, 0, 1], [-1, -1, -1]])) == pytest.approx(
        2 / 3
    )
    assert knn_accuracy(torch.tensor([5, 3]), torch.tensor([[-1, -1, -1, -1], [0, 1, -1, -1]])) == 1
    assert np.isnan(knn_accuracy(labels, torch.full((4, 2), -1)))
    assert np.isnan(knn_accuracy(None, torch.zeros(4, 2).long()))
    assert knn_accuracy(torch.ones(4).long(), torch.tensor([[1], [0], [1], [0]])) == 1
    with pytest.raises(ValueError, match=r"knn_accuracy: labels must be \(N,\)"):
        knn_accuracy(labels[:3], torch.zeros(4, 2).long())


def test_trustworthiness_is_that_of_scikit_learn() -> None:
    layout = POINTS[:, :2] + 0.3 * POINTS[:, 2:4]
    for k in (1, 10, 34):
        expected = manifold.trustworthiness(POINTS, layout, n_neighbors=k)
        assert trustworthiness(POINTS, layout, k) == pytest.approx(expected)
    assert trustworthiness(POINTS, layout, 60) == trustworthiness(POINTS, layout, 34)
    holed = torch.cat([torch.full((3, 12), torch.nan), POINTS])
    assert trustworthiness(holed, torch.cat([torch.zeros(3, 2), layout])) == trustworthiness(POINTS, layout)
    assert trustworthiness(POINTS, POINTS) == 1


def test_of_many_points_some_are_looked_at() -> None:
    many = torch.randn(6001, 3, generator=torch.Generator().manual_seed(0))
    labels = (many[:, 0] > 0).long()
    rows = [round(position * 6000 / 1999) for position in range(2000)]
    assert trustworthiness(many, many[:, :2]) == trustworthiness(many[rows], many[rows, :2])
    assert silhouette(many, labels) == silhouette(many[rows], labels[rows])


def test_the_silhouette_is_that_of_scikit_learn() -> None:
    labels = (POINTS[:, 0] > 0).long() * 5
    assert silhouette(POINTS, labels) == pytest.approx(metrics.silhouette_score(POINTS, labels))
    holed, more = torch.cat([torch.full((3, 12), torch.nan), POINTS]), torch.cat([torch.tensor([8, 8, 9]), labels])
    assert silhouette(holed, more) == silhouette(POINTS, labels)


def test_points_of_no_class_do_not_count() -> None:
    labels = (POINTS[:, 0] > 0).long()
    none = labels.masked_fill(torch.arange(70) % 4 == 0, -1)
    kept = none >= 0
    assert silhouette(POINTS, none) == pytest.approx(metrics.silhouette_score(POINTS[kept], labels[kept]))
    assert knn_accuracy(torch.tensor([0, -1, -1, 1]), torch.tensor([[1, 2, 3], [0, 3, 2], [0, 1, 3], [1, 2, 0]])) == 0
    assert knn_accuracy(torch.tensor([0, 0, -1, -1]), torch.tensor([[2, 3, 1], [2, 3, 0], [3, 0, 1], [2, 0, 1]])) == 1
    assert math.isnan(knn_accuracy(torch.full((70,), -1), nearest_neighbours(None, POINTS, 3).indices))
    assert math.isnan(silhouette(POINTS, torch.full((70,), -1)))


def test_where_there_is_nothing_to_say_it_is_nan() -> None:
    labels = torch.arange(70) % 3
    empty = torch.full((5, 3), torch.nan)
    for answer in (
        silhouette(POINTS, None),
        silhouette(POINTS, torch.zeros(70).long()),
        silhouette(POINTS, torch.arange(70)),
        silhouette(empty, labels[:5]),
        trustworthiness(empty, empty),
        trustworthiness(POINTS[:2], POINTS[:2]),
        trustworthiness(POINTS[:0], POINTS[:0]),
    ):
        assert np.isnan(answer)
    assert trustworthiness(POINTS[:3], POINTS[:3]) == 1


def test_wrong_arguments_of_scores_are_named() -> None:
    with pytest.raises(ValueError, match=r"trustworthiness: 70 features but 60 places"):
        trustworthiness(POINTS, POINTS[:60])
    with pytest.raises(ValueError, match=r"trustworthiness\(k=0\)"):
        trustworthiness(POINTS, POINTS, 0)
    with pytest.raises(ValueError, match=r"silhouette: labels must be \(70,\); got \(60,\)"):
        silhouette(POINTS, torch.zeros(60).long())
