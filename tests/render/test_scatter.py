import numpy as np
import pytest

from lightning_viz.render import scatter_picture
from lightning_viz.render.palettes import CLASS_COLOURS, class_colours
from lightning_viz.render.scatter import PAPER

rng = np.random.default_rng(0)
BLOBS = rng.normal(size=(300, 2))
CLASSES = np.arange(300) % 3
LINE = 40
"""Height of the line below the points."""


def places(picture: np.ndarray, label: int) -> np.ndarray:
    """Where a class was drawn, (x, y) from the top left, in the middle of its dots."""
    rows, columns = np.nonzero((picture[:, :720] == class_colours([label])).all(axis=2))
    assert len(rows) > 0
    return np.array([columns.mean(), rows.mean()])


def test_points_stand_where_they_are_on_one_scale_with_y_upwards():
    layout = np.array([[-3, 0], [3, 0], [0, 1.5], [0, -1.5]], np.float32)
    left, right, top, bottom = (places(scatter_picture(layout, np.arange(4)), label) for label in range(4))
    assert np.allclose((left + right) / 2, 359.5, atol=1)
    assert left[0] < 100
    assert right[0] > 620
    assert (bottom - top)[1] == pytest.approx((right - left)[0] / 2, abs=2)
    assert abs((bottom - top)[0]) <= 1


def test_a_dot_is_round_and_antialiased():
    picture = scatter_picture([[0.0, 0.0]], [0])
    rows, columns = np.nonzero((picture[:-LINE, :720] != PAPER).any(axis=2))
    assert np.ptp(rows) == np.ptp(columns)
    shades = np.unique(picture[rows, columns], axis=0)
    assert len(shades) > 3
    area = (255.0 - picture[rows, columns, 0]).sum() / 255
    assert area == pytest.approx(np.pi * (720 / 120) ** 2, rel=0.05)


def test_what_is_not_finite_is_left_out_and_counted():
    bad = np.concatenate([BLOBS, [[np.nan, 0], [np.inf, 1], [0, -np.inf]]])
    clean = scatter_picture(BLOBS, CLASSES)
    picture = scatter_picture(bad, [*CLASSES, 0, 1, 2])
    assert np.array_equal(picture[:-LINE], clean[:-LINE])
    written, before = ((one[-LINE:] != PAPER).any(axis=(0, 2)).sum() for one in (picture, clean))
    assert written > 2 * before


@pytest.mark.parametrize("layout", [np.zeros((0, 2)), np.full((5, 2), np.nan)], ids=["empty", "nan"])
def test_without_a_point_the_picture_says_so_in_its_middle(layout):
    picture = scatter_picture(layout)
    rows, columns = np.nonzero((picture != PAPER).any(axis=2))
    assert picture.shape == (720, 720, 3)
    assert 340 < rows.min() < rows.max() < 380
    assert columns.min() + columns.max() == pytest.approx(720, abs=6)


@pytest.mark.parametrize("far", [1e-30, 3e38])
@pytest.mark.filterwarnings("error")
def test_any_scale_fills_the_picture(far):
    picture = scatter_picture(np.array([[-far, 0], [far, 0]], np.float32), [0, 1])
    assert places(picture, 0)[0] < 100
    assert places(picture, 1)[0] > 620


def test_points_in_one_place_are_in_the_middle():
    assert np.allclose(places(scatter_picture(np.full((9, 2), 7.0), np.full(9, 4)), 4), 359.5, atol=1)


def test_all_epochs_of_a_run_have_one_size():
    names = ["a", "rather long name"]
    sizes = {scatter_picture(layout, np.arange(len(layout)) % 2, names).shape for layout in (BLOBS, BLOBS[:0])}
    assert len(sizes) == 1
    assert sizes.pop()[1] > 720 + 100


def test_the_legend_names_classes_and_numbers_while_they_are_few():
    def colours_beside(labels, names=None):
        beside = scatter_picture(BLOBS, labels, names)[:, 720:].reshape(-1, 3)
        return [
            code for code in CLASS_COLOURS if (beside == [int(code[i : i + 2], 16) for i in (1, 3, 5)]).all(1).any()
        ]

    assert colours_beside(CLASSES, ["x", "y", "z"]) == list(CLASS_COLOURS[:3])
    assert colours_beside(CLASSES) == list(CLASS_COLOURS[:3])
    assert colours_beside(CLASSES, ["one"] * 13) == []
    assert colours_beside(np.arange(300)) == []
    assert scatter_picture(BLOBS, None, ["x"]).shape[1] == 720
    assert scatter_picture(BLOBS, CLASSES, ["x" * 500]).shape[1] < 1100


def test_no_class_hides_the_others_and_nobody_elses_randomness_is_used():
    layout = np.repeat(rng.normal(size=(500, 2)), 2, axis=0)  # two classes at the same places
    np.random.seed(3)
    before = np.random.get_state()[1].tolist()
    picture = scatter_picture(layout, np.arange(1000) % 2)
    counts = [(picture == class_colours([label])).all(axis=2).sum() for label in (0, 1)]
    assert min(counts) > 0.7 * max(counts)
    assert np.random.get_state()[1].tolist() == before


@pytest.mark.parametrize(
    ("layout", "labels", "said"),
    [
        (np.zeros((4, 3)), None, r"\(N, 2\); got \(4, 3\)"),
        (BLOBS, [1, 2], r"300 points need as many labels; got \(2,\)"),
    ],
)
def test_what_is_no_map_is_refused(layout, labels, said):
    with pytest.raises(ValueError, match=said):
        scatter_picture(layout, labels)


def test_labels_that_are_large_numbers_are_no_burden() -> None:
    labels = np.array([0, 1, 4_000_000_000])
    assert scatter_picture(np.random.default_rng(0).normal(size=(3, 2)), labels).shape == (720, 720, 3)


def test_classes_beyond_the_names_are_called_by_their_numbers() -> None:
    points = np.random.default_rng(0).normal(size=(5, 2))
    named, longer = scatter_picture(points, range(5), ["ant", "bee"]), scatter_picture(points, range(5), list("ab234"))
    assert named.shape[1] > longer.shape[1] > 720
