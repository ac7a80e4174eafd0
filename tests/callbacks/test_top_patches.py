import re
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from helpers.checks import left_as_found
from helpers.drawings import only
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision.models import resnet18

from lightning_viz import Context, Drawing, FeatureEvolution, Probe, TopPatches
from lightning_viz.callbacks.top_patches import NO_IMAGE
from lightning_viz.data.batches import spread
from lightning_viz.functional import PatchTable, effective_field, reconstruct, top_patches
from lightning_viz.render import image_picture, signed_picture
from lightning_viz.trainer.schedule import LOG_SPACED

SIZE = (14, 22)


class Images(Dataset[tuple[Tensor, int]]):
    """Some images between 0 and 1, and the numbers of those that were read."""

    def __init__(self, count: int = 20, channels: int = 3, size: tuple[int, int] = SIZE) -> None:
        self.images = torch.rand(count, channels, *size, generator=torch.Generator().manual_seed(3))
        self.read: set[int] = set()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        self.read.add(index)
        return self.images[index], index % 3


def convnet(channels: int = 3, seed: int = 0) -> nn.Sequential:
    """Layer 3 sees 9 x 9 pixels from -2 on, with a stride of 2."""
    torch.manual_seed(seed)
    maps = [nn.Conv2d(channels, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(5, 20, 3, padding=1)]
    return nn.Sequential(*maps, nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(20, 3)).eval()


def draw(callback: TopPatches, model: nn.Module, data: Dataset, before: Sequence[Drawing] = ()) -> list[Drawing]:
    return list(callback.drawings(model, data=data, before=before))


def table_of(drawing: Drawing) -> PatchTable:
    return PatchTable(*(drawing.values[name] for name in PatchTable._fields))


def assert_same_table(ours: PatchTable, theirs: PatchTable) -> None:
    for name, one, other in zip(PatchTable._fields, ours, theirs, strict=True):
        assert torch.equal(one, other), name


def tile(drawing: Drawing, picture: int, row: int, column: int) -> np.ndarray:
    height, width = drawing.meta["tile"]
    return drawing.pictures[picture][row * (height + 1) :, column * (width + 1) :][:height, :width]


def window_of(box: Tensor, size: Sequence[int] = SIZE) -> tuple[slice, slice]:
    """The part of the image that a tile shows: the box, moved inside, no larger than the image."""
    sides = []
    for first, last, length in zip(box[:2].tolist(), box[2:].tolist(), size, strict=True):
        side = min(int(last - first), length)
        start = 0 if first < 0 else length - side if first + side > length else int(first)
        sides.append(slice(start, start + side))
    return sides[0], sides[1]


def expected_tiles(
    model: nn.Module, layer: str, data: Images, unit: int, entry: int, table: PatchTable
) -> tuple[np.ndarray, np.ndarray]:
    """The image's part and the reconstruction's."""
    image = data.images[table.image_ids[unit, entry]][None]
    down = reconstruct(model, layer, image, units=unit, positions=table.positions[unit, entry][None])
    rows, columns = window_of(table.boxes[unit, entry], image.shape[2:])
    return image_picture(image[0, :, rows, columns]), signed_picture(down[0, :, rows, columns])


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("layer", ["0", "3"])
def test_the_table_is_that_of_all_images_and_units(layer, channels):
    model, data = convnet(channels), Images(channels=channels)
    drawing = only(TopPatches(layers=layer, k=4), model, data=data)
    assert drawing.layer == layer
    assert_same_table(table_of(drawing), top_patches(model, layer, data.images, k=4)[layer])


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("layer", ["0", "3"])
def test_a_tile_is_the_patch_or_what_in_it_excites_the_unit(layer, channels):
    model, data = convnet(channels), Images(channels=channels)
    units = [4, 0, 2]
    drawing = only(TopPatches(layers=layer, k=3, units=units), model, data=data)
    table = table_of(drawing)
    side = {"0": 3, "3": 9}[layer]
    assert drawing.meta["tile"] == drawing.meta["box"] == [side, side]
    for page in drawing.pictures:
        assert page.shape == (3 * (side + 1) - 1, 3 * (side + 1) - 1, 3)
        assert (page[side] == 255).all()
        assert (page[:, side] == 255).all()
    moved = 0
    for row, unit in enumerate(units):
        for column in range(3):
            expected = expected_tiles(model, layer, data, unit, column, table)
            for picture, pixels in enumerate(expected):
                ours = tile(drawing, picture, row, column).astype(int)
                # What goes down with others may round otherwise than alone.
                assert np.abs(ours - pixels).max() <= picture, (unit, column, picture)
            box = table.boxes[unit, column]
            moved += bool((box[:2] < 0).any() or (box[2:] > torch.tensor(SIZE)).any())
    assert moved > 0


def test_a_patch_at_the_border_is_moved_inside_and_what_does_not_count_is_mid_grey():
    model = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1, bias=False)).eval()
    data = Images(2)
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].weight[0, :, 1, 1] = 1  # of the first unit only the middle of the patch counts
        data.images.mul_(0.25)
        data.images[1, :, 0, 21] = 1  # strongest in the corner at the top right
        data.images[0, :, 5, 7] = torch.tensor([0.5, 0.75, 0.5])
    drawing = only(TopPatches(k=2, units=[0]), model, data=data)
    corner, inner = (tile(drawing, 0, 0, column) for column in range(2))
    assert table_of(drawing).boxes[0].tolist() == [[-1, 20, 2, 23], [4, 6, 7, 9]]
    assert drawing.values["windows"].tolist() == [[[0, 19, 3, 22], [4, 6, 7, 9]]]
    assert drawing.values["effective_boxes"].tolist() == [[[0, 21, 1, 22], [5, 7, 6, 8]]]
    assert np.array_equal(corner, image_picture(data.images[1, :, :3, 19:]))
    assert corner[0, 2].tolist() == [255, 255, 255]
    assert inner[1, 1].tolist() == [128, 191, 128]
    for column, place in enumerate([(0, 2), (1, 1)]):
        down = tile(drawing, 1, 0, column)
        assert down[place].tolist() == [255, 255, 255]
        assert (down == 128).all(2).sum() == 8


LARGER = (24, 40)


def deep() -> nn.Sequential:
    """Layer 6 sees 61 x 61 pixels, more than an image, with a stride of 8 from -30 on."""
    torch.manual_seed(0)
    blocks = [(nn.Conv2d(channels, 8, 5, 2, 2), nn.ReLU()) for channels in (3, 8, 8)]
    return nn.Sequential(*(layer for block in blocks for layer in block), nn.Conv2d(8, 4, 5, padding=2)).eval()


def test_a_field_larger_than_the_image_is_the_image_with_a_line_around_what_counts():
    model, data = deep(), Images(6, size=LARGER)
    drawing = only(TopPatches(layers="6", k=3), model, data=data)
    table, line = table_of(drawing), np.array([64, 255, 64])
    sizes = (table.boxes[..., 2:] - table.boxes[..., :2]).flatten(0, 1)
    assert (sizes > torch.tensor(LARGER)).all()
    assert drawing.meta["box"] == drawing.meta["tile"] == [*LARGER]
    assert all("; the line holds 95 % of the gradient's energy | " in caption for caption in drawing.captions)
    lines = 0
    for unit in range(4):
        for entry in range(3):
            image = data.images[table.image_ids[unit, entry]][None]
            box = effective_field(model, "6", image, unit, table.positions[unit, entry][None])[0]
            assert torch.equal(drawing.values["effective_boxes"][unit, entry], box)
            assert drawing.values["windows"][unit, entry].tolist() == [0, 0, *LARGER]
            top, left, bottom, right = box.tolist()
            inside = np.zeros(LARGER, bool)
            inside[top:bottom, left:right] = True
            grown = np.zeros(LARGER, bool)
            grown[max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1] = True
            for picture in range(2):
                drawn = (tile(drawing, picture, unit, entry) == line).all(2)
                assert np.array_equal(drawn, grown & ~inside)
            lines += drawn.sum()
            photograph = tile(drawing, 0, unit, entry)
            assert np.array_equal(photograph[~drawn], image_picture(image[0])[~drawn])
    assert lines > 100


@pytest.mark.parametrize("callback", [TopPatches, FeatureEvolution])
@pytest.mark.parametrize("layer", ["layer2.1.conv2", "layer4.1.conv2"])
def test_of_a_residual_network_most_of_a_picture_is_photograph(callback, layer):
    torch.manual_seed(0)
    model, data = resnet18(num_classes=4).eval(), Images(6, size=(64, 48))
    data.images.div_(5)  # dark
    drawing = only(callback(layers=layer, k=3, units=[0, 1, 2]), model, data=data)
    assert drawing.meta["tile"] == [64, 48]
    dark = (drawing.pictures[0] < 100).all(2).mean()
    assert dark > 0.9
    found = drawing.values["effective_boxes"]
    assert (found[..., :2] >= 0).all()
    assert (found[..., 2:] <= torch.tensor([64, 48])).all()


def test_a_line_is_drawn_where_the_effective_field_lies_in_a_shrunk_tile():
    model = nn.Sequential(nn.Conv2d(1, 1, (20, 130), bias=False)).eval()
    data = Images(2, channels=1, size=(24, 150))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].weight[0, 0, 5:15, 40:70] = 1
    drawing = only(TopPatches(k=1), model, data=data)
    top, left, *_ = drawing.values["windows"][0, 0].tolist()
    assert drawing.values["effective_boxes"][0, 0].tolist() == [top + 5, left + 40, top + 15, left + 70]
    assert drawing.meta["tile"] == [15, 96]
    rows, columns = (np.flatnonzero((tile(drawing, 0, 0, 0) == [64, 255, 64]).all(2).any(axis)) for axis in (1, 0))
    # Rows 5 to 15 of 20 are 3.75 to 11.25 of 15; columns 40 to 70 of 130 are 29.5 to 51.7 of 96; the line is around.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 12, 28, 52)


def test_boxes_larger_than_a_tile_are_shrunk_all_alike():
    model = nn.Sequential(nn.Conv2d(1, 3, (20, 130), padding=(0, 5))).eval()
    data = Images(4, channels=1, size=(24, 150))
    drawing = only(TopPatches(k=2), model, data=data)
    assert drawing.meta["box"] == [20, 130]
    assert drawing.meta["tile"] == [15, 96]
    assert [page.shape for page in drawing.pictures] == [(3 * 16 - 1, 2 * 97 - 1, 3)] * 2


def test_without_units_sixteen_spread_over_the_layer_get_pictures_and_all_are_kept():
    model, data = convnet(), Images(6)
    drawing = only(TopPatches(layers="3", k=2), model, data=data)
    assert drawing.meta["units"] == [0, 1, 3, 4, 5, 6, 8, 9, 10, 11, 13, 14, 15, 16, 18, 19]
    assert drawing.meta["unit_count"] == len(table_of(drawing).values) == 20
    assert drawing.pictures[0].shape[0] == 16 * 10 - 1
    small = only(TopPatches(layers="0", k=2), model, data=data)
    assert small.meta["units"] == [0, 1, 2, 3, 4]


def test_without_layers_it_is_the_first_and_the_last_convolution():
    model, data = convnet(), Images(6)
    assert [drawing.layer for drawing in draw(TopPatches(k=2), model, data)] == ["0", "3"]
    assert [drawing.layer for drawing in draw(TopPatches(layers=["4", "1"], k=2), model, data)] == ["1", "4"]


def test_a_layer_without_places_shows_whole_images():
    model, data = convnet(), Images(6)
    drawing = only(TopPatches(layers="7", k=3), model, data=data)
    table = table_of(drawing)
    scores = model(data.images).detach()
    assert torch.equal(table.image_ids, scores.T.argsort(descending=True)[:, :3])
    assert drawing.meta["box"] == list(SIZE)
    for unit in range(3):
        for column in range(3):
            expected = image_picture(data.images[table.image_ids[unit, column]])
            assert np.array_equal(tile(drawing, 0, unit, column), expected)


def test_max_images_are_spread_over_the_data_and_no_others_are_read():
    model, data = convnet(), Images(20)
    drawing = only(TopPatches(layers="3", k=3, max_images=7), model, data=data)
    numbers = [0, 3, 6, 10, 13, 16, 19]
    assert data.read == set(numbers) == set(spread(20, 7))
    expected = top_patches(model, "3", data.images[numbers], k=3)["3"]
    assert_same_table(table_of(drawing), expected._replace(image_ids=torch.tensor(numbers)[expected.image_ids]))
    assert drawing.meta["images"] == 7
    assert "the strongest of 7 images first" in drawing.captions[0]


@pytest.mark.parametrize("layer", ["0", "3", "7"])
def test_more_patches_than_images_leave_places_empty(layer):
    model, data = convnet(), Images(2)
    drawing = only(TopPatches(layers=layer, k=5, units=[0, 2]), model, data=data)
    table = table_of(drawing)
    assert table.values.shape[1] == 5
    assert (table.image_ids[:, :2] >= 0).all()
    for values in (table.image_ids, table.positions, table.boxes):
        assert (values[:, 2:] == -1).all()
    assert (table.values[:, 2:] == -torch.inf).all()
    for picture in range(2):
        for row in range(2):
            assert all((tile(drawing, picture, row, column) == NO_IMAGE).all() for column in (2, 3, 4))
            assert not any((tile(drawing, picture, row, column) == NO_IMAGE).all() for column in (0, 1))
    assert len(list(drawing.blobs())) == 2 + 6
    for name in ("windows", "effective_boxes"):
        assert (drawing.values[name][:, 2:] == -1).all()
        assert (drawing.values[name][:, :2] >= 0).all()


def test_a_network_that_diverged_has_no_strongest_patches_and_is_drawn():
    model, data = convnet(), Images(4)
    nn.init.constant_(model[3].weight, torch.nan)
    drawing = only(TopPatches(layers="3", k=2), model, data=data)
    assert (table_of(drawing).image_ids == -1).all()
    assert [(page[:9, :9] == NO_IMAGE).all() for page in drawing.pictures] == [True, True]


def test_a_unit_that_diverged_leaves_the_others_as_they_were():
    model, data = convnet(), Images(4)
    before = only(TopPatches(layers="3", k=2, units=[1, 2]), model, data=data)
    with torch.no_grad():
        model[3].weight[1] = torch.nan
    after = only(TopPatches(layers="3", k=2, units=[1, 2]), model, data=data)
    assert (table_of(after).image_ids[1] == -1).all()
    assert all((tile(after, picture, 0, 0) == NO_IMAGE).all() for picture in range(2))
    assert np.array_equal(tile(after, 0, 1, 0), tile(before, 0, 1, 0))


def test_a_rectifier_that_is_never_above_zero_is_drawn_with_nothing_in_it():
    model, data = convnet(), Images(4)
    nn.init.constant_(model[3].bias, -100)
    drawing = only(TopPatches(layers="4", k=2, units=[0]), model, data=data)
    assert (table_of(drawing).values == 0).all()
    assert table_of(drawing).image_ids.tolist() == [[0, 1]] * 20
    down = tile(drawing, 1, 0, 0)
    assert set(np.unique(down)) == {128}
    assert (drawing.values["effective_boxes"] == -1).all()


def brute_force(before: PatchTable, after: PatchTable) -> dict[str, float]:
    shares, settled = [], []
    for unit in range(len(before.image_ids)):
        old, new = before.image_ids[unit].tolist(), after.image_ids[unit].tolist()
        shares.append(sum(image in old for image in new) / len(new))
        settled.append(old[0] == new[0])
    return {"overlap": sum(shares) / len(shares), "settled": sum(settled) / len(settled)}


def test_overlap_and_settled_compare_with_the_drawing_before_layer_by_layer():
    data, callback = Images(12), TopPatches(k=4)
    tables, drawings = [], []
    for seed in (0, 1, 2):
        drawings = draw(callback, convnet(seed=seed), data, drawings)
        tables.append([table_of(drawing) for drawing in drawings])
        if seed == 0:
            assert [dict(drawing.scalars) for drawing in drawings] == [{}, {}]
            continue
        for drawing, before, after in zip(drawings, *tables[-2:], strict=True):
            expected = brute_force(before, after)
            assert 0 < expected["overlap"] < 1
            assert dict(drawing.scalars) == pytest.approx(expected)
    (first, last) = draw(callback, convnet(seed=2), data, drawings)
    assert dict(first.scalars) == dict(last.scalars) == {"overlap": 1, "settled": 1}


def test_a_layer_that_had_another_number_of_units_has_no_drawing_before():
    before = draw(TopPatches(layers="0", k=2), nn.Sequential(nn.Conv2d(3, 4, 3)), Images(4))
    drawing = only(TopPatches(layers="0", k=2), convnet(), data=Images(4), before=before)
    assert dict(drawing.scalars) == {}


def test_meta_and_captions_say_how_to_read_the_pictures():
    drawing = only(TopPatches(layers="3", k=2, units=[7, 3]), convnet(), data=Images(5))
    assert dict(drawing.meta) == {
        "units": [7, 3],
        "k": 2,
        "tile": [9, 9],
        "box": [9, 9],
        "images": 5,
        "unit_count": 20,
    }
    assert drawing.captions == [
        "patches: rows are units 7, 3, columns the strongest of 5 images first | image as the network gets them",
        "reconstructions (deconvnet): rows are units 7, 3, columns the strongest of 5 images first, each on its own "
        "scale | image as the network gets them",
    ]


def test_patches_are_shown_as_they_were_before_normalisation():
    model, data = convnet(), Images(5)
    photographs = data.images.clone()
    data.images.mul_(4).sub_(2)
    drawing = only(TopPatches(layers="3", k=1, units=[3]), model, Probe(mean=0.5, std=0.25), data)
    table = table_of(drawing)
    rows, columns = window_of(table.boxes[3, 0])
    expected = 255 * photographs[table.image_ids[3, 0], :, rows, columns].permute(1, 2, 0).numpy()
    assert np.abs(tile(drawing, 0, 0, 0) - expected).max() <= 0.51
    assert drawing.captions[0].endswith("| image un-normalised with mean and std")


class Upright(Images):
    """Gives a dict that nobody knows."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        photograph = super().__getitem__(index)[0]
        return {"photograph": photograph, "negative": -photograph}


def photographs_of(batch: dict[str, Tensor]) -> tuple[Tensor, None]:
    return batch["photograph"], None


def test_an_unusual_batch_is_read_with_the_probes_function():
    model, data = convnet(), Upright(5)
    drawing = only(TopPatches(layers="3", k=2, probe=Probe(batch_fn=photographs_of)), model, data=data)
    assert_same_table(table_of(drawing), top_patches(model, "3", data.images, k=2)["3"])
    with pytest.raises(ValueError, match=r"several parts of a dict with 'photograph'.* could be the images.*batch_fn"):
        only(TopPatches(layers="3", k=2), model, data=data)


class Noisy(Images):
    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index] + torch.rand(1), index


def test_augmented_data_are_refused_and_no_random_stream_moves():
    model, before = convnet(), torch.get_rng_state()
    with pytest.raises(ValueError, match="an item differs when it is read twice.*data="):
        only(TopPatches(layers="3", k=2), model, data=Noisy(5))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("layers", [None, "7"])
def test_drawing_leaves_model_and_data_as_found(layers):
    model, data = convnet().train(), Images(6)
    images = data.images.clone()
    with left_as_found(model):
        assert draw(TopPatches(layers=layers, k=2), model, data)
    assert torch.equal(data.images, images)


def test_a_model_in_double_precision():
    model, data = convnet().double(), Images(6)
    drawing = only(TopPatches(layers="3", k=2), model, data=data)
    expected = only(TopPatches(layers="3", k=2), convnet(), data=data)
    assert torch.equal(drawing.values["image_ids"], expected.values["image_ids"])
    assert np.array_equal(drawing.pictures[0], expected.pictures[0])


def test_without_a_schedule_it_is_drawn_at_growing_distances():
    callback = TopPatches()
    drawn = [epoch for epoch in range(1, 70) if callback.schedule.at_epoch_end(epoch)]
    assert drawn == [1, 2, 5, 10, 20, 30, 40, 64]
    assert callback.schedule.epochs == LOG_SPACED
    assert not callback.schedule.at_step(0, 1000)
    by_steps = TopPatches(every_n_train_steps=5)
    assert by_steps.schedule.at_step(4, 5)
    assert not by_steps.schedule.at_epoch_end(1)
    assert TopPatches(every_n_epochs=3).schedule.at_epoch_end(3)
    assert TopPatches(epochs=[7]).schedule.epochs == [7]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "TopPatches(k=0): must be a whole number of 1 or more."),
        ({"k": 2.0}, "TopPatches(k=2.0): must be a whole number of 1 or more."),
        ({"k": True}, "TopPatches(k=True): must be a whole number of 1 or more."),
        ({"max_images": 0}, "TopPatches(max_images=0): must be a whole number of 1 or more."),
        ({"max_images": None}, "TopPatches(max_images=None): must be a whole number of 1 or more."),
        ({"units": []}, "TopPatches(units=[]): must be whole numbers of 0 or more, at least one."),
        ({"units": 3}, "TopPatches(units=3): must be whole numbers of 0 or more, at least one."),
        ({"units": [0.5]}, "TopPatches(units=[0.5]): must be whole numbers of 0 or more, at least one."),
        ({"units": [0, -1]}, "TopPatches(units=[0, -1]): must be whole numbers of 0 or more, at least one."),
        ({"epochs": [1], "every_n_epochs": 2}, "TopPatches: every_n_epochs and epochs exclude each other; give one."),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        TopPatches(**arguments)


def test_a_unit_that_a_layer_lacks_is_named():
    with pytest.raises(ValueError, match=r'^TopPatches\(units=...\): "0" has units 0 to 4\.$'):
        only(TopPatches(layers="0", units=[2, 5], k=2), convnet(), data=Images(4))


def test_a_model_without_convolutions_or_that_layer_is_refused_before_the_first_batch():
    with pytest.raises(ValueError, match="^TopPatches: .*Conv"):
        TopPatches().needs(Context(nn.Sequential(nn.Flatten(), nn.Linear(3, 4))))
    with pytest.raises(ValueError, match=r"^TopPatches\(layers='conv'\): .*no layer \"conv\""):
        TopPatches(layers="conv").needs(Context(convnet()))
