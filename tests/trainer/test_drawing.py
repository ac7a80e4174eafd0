from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_viz import Drawing
from lightning_viz.store import Item, read_values

PICTURES = list(np.random.default_rng(0).integers(0, 256, (2, 12, 20, 3), np.uint8))


def test_pictures_become_png_files_with_captions_in_order():
    blobs = list(Drawing("conv1", pictures=PICTURES, captions=["one", "two"]).blobs())
    assert [item for item, _ in blobs] == [
        Item("picture", "picture 0", "", (12, 20, 3), "uint8", "one"),
        Item("picture", "picture 1", "", (12, 20, 3), "uint8", "two"),
    ]
    for (_, content), picture in zip(blobs, PICTURES, strict=True):
        assert np.array_equal(np.asarray(Image.open(BytesIO(content))), picture)


def test_what_is_kept_for_the_next_drawing_does_not_change_with_the_weights():
    weight = torch.ones(2, 3)
    drawing = Drawing("conv1", {"weight": weight}, PICTURES, scalars={"max": weight.max()}, meta={"kernel": [1, 1]})
    kept = drawing.kept()
    weight.zero_()
    assert kept.values["weight"].tolist() == [[1.0] * 3] * 2
    assert (kept.scalars, kept.meta, kept.pictures) == ({"max": 1.0}, {"kernel": [1, 1]}, ())


@pytest.mark.parametrize(
    "values",
    [
        torch.arange(6.0).reshape(2, 3),
        torch.arange(6).reshape(3, 2).T,
        torch.arange(6.0).bfloat16().requires_grad_(),
        np.arange(6.0)[::-1],
        [[1, 2], [3, 4]],
        torch.tensor([torch.nan, torch.inf]),
        torch.zeros(0, 3),
    ],
)
def test_values_of_any_kind_become_float32_files(values):
    ((item, content),) = Drawing("conv1", values={"weight": values}).blobs()
    expected = torch.as_tensor(np.array(values) if isinstance(values, np.ndarray) else values).detach().float().numpy()
    assert item == Item("values", "weight", "", expected.shape, "float32")
    np.testing.assert_array_equal(read_values(content), expected)


def test_values_come_after_the_pictures():
    drawing = Drawing("conv1", values={"a": [1], "b": [2]}, pictures=PICTURES)
    assert [item.name for item, _ in drawing.blobs()] == ["picture 0", "picture 1", "a", "b"]


@pytest.mark.filterwarnings("error")
def test_scalars_become_python_floats():
    scalars = {"a": torch.tensor(1.5, requires_grad=True), "b": 2, "c": np.float32(3), "d": torch.tensor(torch.nan)}
    plain = Drawing("conv1", scalars=scalars).plain_scalars()
    assert [type(value) for value in plain.values()] == [float] * 4
    assert str(plain) == "{'a': 1.5, 'b': 2.0, 'c': 3.0, 'd': nan}"


def test_pictures_without_captions_have_empty_ones():
    assert [caption for _, _, caption in Drawing("conv1", pictures=PICTURES).encoded] == ["", ""]


def test_an_empty_drawing_has_no_files():
    assert list(Drawing("conv1").blobs()) == []


@pytest.mark.parametrize("captions", [["one"], ["one", "two", "three"]])
def test_another_number_of_captions_is_refused(captions):
    with pytest.raises(ValueError, match=f"Drawing: {len(captions)} captions for 2 pictures."):
        Drawing("conv1", pictures=PICTURES, captions=captions)


def test_a_picture_of_floats_is_refused_when_it_is_written():
    with pytest.raises(ValueError, match=r"a picture is \(H, W, 3\) uint8; got \(12, 20, 3\) float64"):
        list(Drawing("conv1", pictures=[np.zeros((12, 20, 3))]).blobs())
