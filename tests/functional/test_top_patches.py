"""The strongest patches against a plain loop over all positions of all images."""

import weakref
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
import pytest
import torch
from helpers.checks import left_as_found
from helpers.networks import network
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from lightning_viz.functional import PatchTable, cut_patches, merge_tables, top_patches
from lightning_viz.functional.top_patches import move_inside

IMAGES = torch.randn(13, 3, 17, 26, generator=torch.Generator().manual_seed(0)).double()

Geometry = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


class Residual(nn.Module):
    """Runs its convolution twice, and works in place on what it gave."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(F.relu(self.conv(x)))
        y += x
        return y.relu_()


def strided() -> nn.Sequential:
    """Layer names, and size, stride and start of their fields, are in ``FIELDS``."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, (3, 5), (1, 2), (0, 2)), nn.ReLU(inplace=True), nn.MaxPool2d(2), Residual(6)]
    return nn.Sequential(*layers, nn.Conv2d(6, 4, 3, 2, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


FIELDS: dict[str, Geometry] = {
    "0": ((3, 5), (1, 2), (0, -2)),
    "1": ((3, 5), (1, 2), (0, -2)),
    "2": ((4, 7), (2, 4), (0, -2)),
    "3": ((12, 23), (2, 4), (-4, -10)),
    "3.conv": ((12, 23), (2, 4), (-4, -10)),
    "4": ((16, 31), (4, 8), (-8, -18)),
    "5": ((17, 26), (0, 0), (0, 0)),
    "7": ((17, 26), (0, 0), (0, 0)),
}


def brute_force(
    model: nn.Module, layer: str, field: Geometry, images: Tensor, ids: Sequence[int], k: int, units: Sequence[int]
) -> PatchTable:
    """Look at all positions of all images, one by one, in plain Python."""
    kept: list[Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda module, args, output: kept.append(output.clone()))
    found: list[list[tuple[float, int, int, int]]] = [[] for _ in units]
    with torch.no_grad():
        for number in ids:
            model(images[number][None])
            maps = kept[-1].reshape(*kept[-1].shape, *[1] * (4 - kept[-1].ndim))[0].tolist()
            for row, unit in enumerate(units):
                best = None
                for i, line in enumerate(maps[unit]):
                    for j, value in enumerate(line):
                        if value != value:  # noqa: PLR0124 (NaN)
                            best = (float("nan"), i, j)
                        elif best is None or value > best[0]:
                            best = (value, i, j)
                if best is not None and best[0] == best[0]:
                    found[row].append((float(np.float32(best[0])), number, best[1], best[2]))
    handle.remove()
    (height, width), stride, start = field
    values, image_ids, positions, boxes = [], [], [], []
    for entries in found:
        entries.sort(key=lambda entry: (-entry[0], entry[1]))
        missing = k - len(entries)
        places = [
            (start[0] + stride[0] * i, start[1] + stride[1] * j, start[0] + stride[0] * i, start[1] + stride[1] * j)
            for _, _, i, j in entries[:k]
        ]
        values.append([entry[0] for entry in entries[:k]] + [-torch.inf] * missing)
        image_ids.append([entry[1] for entry in entries[:k]] + [-1] * missing)
        positions.append([entry[2:] for entry in entries[:k]] + [(-1, -1)] * missing)
        boxes.append([(t, le, b + height, r + width) for t, le, b, r in places] + [(-1,) * 4] * missing)
    return PatchTable(*map(torch.tensor, (values, image_ids, positions, boxes)))


def check(found: PatchTable, expected: PatchTable) -> None:
    assert found.values.dtype == torch.float32
    assert {part.dtype for part in found[1:]} == {torch.int64}
    torch.testing.assert_close(found.values, expected.values, rtol=1e-6, atol=0)
    for one, other, name in zip(found[1:], expected[1:], PatchTable._fields[1:], strict=True):
        assert torch.equal(one, other), name


def equal(one: PatchTable, other: PatchTable) -> bool:
    return all(map(torch.equal, one, other))


def all_tables(images: Tensor, k: int, ids: Sequence[int] | None = None, **options: object) -> None:
    model = strided().double().eval()
    ids = range(len(images)) if ids is None else ids
    tables = top_patches(model, list(FIELDS), images, k=k, **options)
    assert list(tables) == list(FIELDS)
    for layer, field in FIELDS.items():
        units = range(tables[layer].values.shape[0])
        check(tables[layer], brute_force(model, layer, field, images, ids, k, units))


@pytest.mark.parametrize("k", [1, 4, 13, 20])
def test_it_is_what_a_plain_loop_finds_in_all_layers_at_once(k):
    all_tables(IMAGES, k)


def test_also_where_all_maps_are_zero_and_equal():
    """Dead units are as strong everywhere: the first images, at their first places."""
    images = IMAGES.clone()
    images[[2, 5, 6]] = 0
    images[[7, 8, 9]] = images[1].clone()
    all_tables(images, 6)


@pytest.mark.parametrize(("most", "ids"), [(1, [0]), (4, [0, 4, 8, 12]), (50, range(13))])
def test_fewer_images_are_spread_over_the_data(most, ids):
    all_tables(IMAGES, 3, ids, max_images=most)


@pytest.mark.parametrize("size", [1, 3, 32])
def test_the_size_of_batches_does_not_matter(size):
    layers = list(FIELDS)
    model = strided().double()
    found = top_patches(model, layers, IMAGES, k=5, batch_size=size)
    expected = top_patches(model, layers, IMAGES, k=5, batch_size=7)
    assert all(equal(found[layer], expected[layer]) for layer in layers)


@pytest.mark.parametrize("units", [[0], [5, 2], [3, 3, 1], range(1, 4), torch.tensor([4, 0])])
def test_only_some_units_in_their_order(units):
    model = strided().double()
    some = top_patches(model, ["0", "3"], IMAGES, k=4, units=units)
    everything = top_patches(model, ["0", "3"], IMAGES, k=4)
    for layer in ("0", "3"):
        assert equal(some[layer], PatchTable(*(part[torch.as_tensor(units)] for part in everything[layer])))


@pytest.mark.parametrize("units", [None, [4, 1]])
@pytest.mark.parametrize("ties", [False, True])
def test_the_memory_format_does_not_matter(units, ties):
    images = IMAGES.relu().round() if ties else IMAGES
    layers = ["0", "1", "2", "3", "4", "7"]
    if ties:
        model = whole_numbers()
        layers = ["0", "1", "2"]
    else:
        model = strided().double()
    units = units if ties or units is None else [2, 1]
    expected = top_patches(model, layers, images, k=6, units=units)
    last = model.to(memory_format=torch.channels_last)
    for laid_out in (images, images.contiguous(memory_format=torch.channels_last)):
        found = top_patches(last, layers, laid_out, k=6, units=units)
        for layer in layers:
            check(found[layer], expected[layer])


@settings(max_examples=20, deadline=None, database=None, derandomize=True)
@given(
    count=st.integers(1, 9),
    size=st.tuples(st.integers(7, 12), st.integers(7, 12)),
    stride=st.integers(1, 3),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    k=st.integers(1, 10),
    batch_size=st.integers(1, 10),
    levels=st.sampled_from([2, 5, 1000]),
    number=st.integers(0, 999),
)
def test_it_is_what_a_plain_loop_finds_on_random_networks(count, size, stride, padding, k, batch_size, levels, number):
    """Whole numbers: sums are exact, and few levels make many ties."""
    generator = torch.Generator().manual_seed(number)
    model = nn.Sequential(nn.Conv2d(2, 4, (3, 2), stride, padding), nn.ReLU(), nn.MaxPool2d((2, 1), 1)).double()
    for parameter in model.parameters():
        parameter.data = torch.randint(-1, 2, parameter.shape, generator=generator).double()
    images = torch.randint(levels, (count, 2, *size), generator=generator).double()
    fields = {
        "1": ((3, 2), (stride, stride), (-padding[0], -padding[1])),
        "2": ((3 + stride, 2), (stride, stride), (-padding[0], -padding[1])),
    }
    tables = top_patches(model, list(fields), images, k=k, batch_size=batch_size)
    for layer, field in fields.items():
        check(tables[layer], brute_force(model, layer, field, images, range(count), k, range(4)))


def whole_numbers() -> nn.Sequential:
    """Computes exactly, so that equal is equal."""
    model = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)).double()
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        parameter.data = torch.randint(-2, 3, parameter.shape, generator=generator).double()
    return model


def test_of_equal_images_the_first_counts_and_of_equal_places_the_first():
    images = torch.randint(4, (4, 3, 10, 14), generator=torch.Generator().manual_seed(0)).double()
    twice = images.repeat(3, 1, 1, 1)
    model = whole_numbers()
    for batch_size, last in product((1, 3, 5, 32), (False, True)):
        layout = torch.channels_last if last else torch.contiguous_format
        model.to(memory_format=layout)
        found = top_patches(model, "0", twice.contiguous(memory_format=layout), k=5, batch_size=batch_size)["0"]
        check(found, brute_force(model, "0", ((3, 3), (1, 1), (-1, -1)), twice, range(12), 5, range(5)))
        for ids in found.image_ids.tolist():
            assert ids[:3] == [ids[0], ids[0] + 4, ids[0] + 8]
            assert ids[3] in range(4)


def test_constant_images_count_from_the_first_place_on():
    model = nn.Sequential(nn.Conv2d(1, 2, 2))
    model[0].weight.data.fill_(1)
    model[0].bias.data.fill_(0)
    found = top_patches(model, "0", torch.ones(7, 1, 6, 9), k=3, batch_size=2)["0"]
    assert found.image_ids.tolist() == [[0, 1, 2]] * 2
    assert found.positions.tolist() == [[[0, 0]] * 3] * 2
    assert found.boxes.tolist() == [[[0, 0, 2, 2]] * 3] * 2


def test_an_image_counts_once():
    images = torch.zeros(3, 1, 8, 12)
    images[1, 0, ::2, ::2] = 9.0
    images[2, 0, 3, 5] = 1.0
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False))
    model[0].weight.data.fill_(1)
    found = top_patches(model, "0", images, k=3)["0"]
    assert found.image_ids.tolist() == [[1, 2, 0]]
    assert found.positions.tolist() == [[[0, 0], [3, 5], [0, 0]]]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [1, 4, 13])
def test_images_with_nan_are_ignored(size, layout):
    images = IMAGES.clone()
    images[[3, 12], 1, 5, 7] = torch.nan
    images[0] = torch.nan
    ids = [number for number in range(13) if number not in (0, 3, 12)]
    model = strided().double().to(memory_format=layout)
    found = top_patches(model, ["3", "7"], images.contiguous(memory_format=layout), k=12, batch_size=size)
    for layer in ("3", "7"):
        assert sorted(found[layer].image_ids[0].tolist()) == [-1, -1, *ids]
        check(found[layer], brute_force(model, layer, FIELDS[layer], IMAGES, ids, 12, range(len(found[layer].values))))


def test_nothing_but_nan_gives_an_empty_table():
    found = top_patches(strided(), "0", torch.full((3, 3, 17, 26), torch.nan), k=2)["0"]
    assert (found.values == -torch.inf).all()
    assert all((part == -1).all() for part in found[1:])


def test_infinite_activations_come_first():
    images = torch.zeros(4, 1, 5, 7)
    images[2, 0, 4, 6], images[3, 0, 0, 1], images[1] = torch.inf, torch.inf, -torch.inf
    found = top_patches(nn.Sequential(nn.MaxPool2d(1)), "0", images, k=4)["0"]
    assert found.image_ids.tolist() == [[2, 3, 0, -1]]
    assert found.positions.tolist()[0][:2] == [[4, 6], [0, 1]]


def test_a_planted_pattern_is_found_where_it_was_planted():
    generator = torch.Generator().manual_seed(5)
    pattern = torch.randn(2, 3, 5, 4, generator=generator)
    images = 0.1 * torch.randn(30, 3, 24, 32, generator=generator)
    planted = {0: [(17, 3, 20), (4, 19, 0)], 1: [(22, 0, 28), (9, 10, 11)]}
    for unit, places in planted.items():
        for strength, (number, top, left) in zip((1.0, 0.5), places, strict=True):
            images[number, :, top : top + 5, left : left + 4] = strength * pattern[unit]
    model = nn.Sequential(nn.ZeroPad2d((1, 0, 2, 0)), nn.Conv2d(3, 2, (5, 4)), nn.ReLU(), nn.Conv2d(2, 2, 1))
    model[1].weight.data, model[1].bias.data = pattern, torch.zeros(2)
    model[3].weight.data, model[3].bias.data = torch.eye(2)[:, :, None, None], torch.zeros(2)
    found = top_patches(model, "3", images, k=2, batch_size=7)["3"]
    assert found.image_ids.tolist() == [[17, 4], [22, 9]]
    assert found.boxes.tolist() == [[[t, le, t + 5, le + 4] for _, t, le in places] for places in planted.values()]
    patches = cut_patches(images[found.image_ids.flatten()], found.boxes.flatten(0, 1))
    assert torch.equal(patches[0], pattern[0])
    assert torch.equal(patches[1], 0.5 * pattern[0])
    assert torch.equal(patches[2], pattern[1])
    torch.testing.assert_close(found.values[:, 0], pattern.square().sum((1, 2, 3)))


class Items(Dataset[tuple[Tensor, int]]):
    def __init__(self, images: Tensor, change: Callable[[Tensor], Tensor] = lambda image: image) -> None:
        self.images, self.change = images, change

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.change(self.images[index]), index


def test_a_tensor_a_data_set_and_a_loader_give_the_same():
    model = strided().double()
    expected = top_patches(model, "3", IMAGES, k=4)["3"]
    wrapped = [{"pixel_values": part, "n": 1} for part in IMAGES.split(3)]
    others = [Items(IMAGES), TensorDataset(IMAGES), DataLoader(Items(IMAGES), 5), IMAGES.split(6), wrapped]
    for data in [*others, DataLoader(TensorDataset(IMAGES), 4), (part for part in IMAGES.split(4))]:
        assert equal(top_patches(model, "3", data, k=4)["3"], expected)


def test_a_function_says_where_the_images_are():
    model, expected = strided().double(), top_patches(strided().double(), "3", IMAGES, k=4)["3"]
    odd = Items(IMAGES, lambda image: torch.stack([image, image]))
    found = top_patches(model, "3", odd, k=4, batch_fn=lambda batch: (batch[0][:, 1], None))["3"]
    assert equal(found, expected)


def test_the_order_of_a_loader_counts():
    order = torch.randperm(13, generator=torch.Generator().manual_seed(0)).tolist()
    model = strided().double()
    found = top_patches(model, "3", DataLoader(Items(IMAGES), 4, sampler=order), k=5)["3"]
    assert equal(found, top_patches(model, "3", IMAGES[order], k=5)["3"])


def test_the_first_images_of_a_loader_when_fewer_are_wanted():
    model = strided().double()
    found = top_patches(model, "3", DataLoader(Items(IMAGES), 4), k=5, max_images=6)["3"]
    assert equal(found, top_patches(model, "3", IMAGES[:6], k=5)["3"])


def test_a_data_set_that_draws_numbers_of_its_own_is_refused():
    own, states = torch.Generator().manual_seed(0), np.random.RandomState(0)
    for noise in (lambda: torch.rand((), generator=own), states.rand, lambda: torch.rand(())):
        with pytest.raises(ValueError, match=r"top_patches\(data=\.\.\.\).*augmentation: data=") as raised:
            top_patches(strided().double(), "3", Items(IMAGES, lambda image, noise=noise: image + noise()))
        assert "an item differs" in str(raised.value)


def test_images_take_the_type_of_the_weights():
    model = strided()
    found, expected = (top_patches(model, "3", images, k=4)["3"] for images in (IMAGES, IMAGES.float()))
    assert equal(found, expected)


def test_images_of_different_sizes_are_refused_or_each_read_in_its_own():
    """A place is counted along the rows of its own map."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False))
    model[0].weight.data.fill_(1)
    wide = torch.zeros(1, 1, 8, 12)
    wide[0, 0, 5, 10] = 1
    try:
        found = top_patches(model, "0", [torch.zeros(1, 1, 8, 8), wide], k=1)["0"]
    except ValueError as error:
        assert "size" in str(error)
    else:
        assert found.positions.tolist() == [[[5, 10]]]


def live_activations(model: nn.Module, layer: str) -> list["weakref.ref[Tensor]"]:
    """Weak references to all that a layer gives from now on."""
    given: list[weakref.ref[Tensor]] = []
    model.get_submodule(layer).register_forward_hook(lambda module, inputs, output: given.append(weakref.ref(output)))
    return given


@pytest.mark.parametrize("units", [None, [0, 3]])
def test_no_activation_is_kept(units):
    model = strided()
    given = live_activations(model, "0")
    alive: list[int] = []

    def batches() -> Iterator[Tensor]:
        for part in torch.randn(60, 3, 17, 26).split(4):
            alive.append(sum(one() is not None for one in given))
            yield part

    top_patches(model, ["0", "3"], batches(), k=4, units=units)
    assert len(given) > len(alive) == 15
    assert max(alive) == 0


def split_tables(images: Tensor, layer: str, cuts: Sequence[int], k: int) -> list[PatchTable]:
    model = whole_numbers()
    starts = [0, *cuts]
    parts = [images[first:last] for first, last in zip(starts, [*cuts, len(images)], strict=True)]
    tables = [top_patches(model, layer, part, k=k)[layer] for part in parts]
    return [
        table._replace(image_ids=torch.where(table.image_ids < 0, -1, table.image_ids + first))
        for table, first in zip(tables, starts, strict=True)
    ]


@settings(max_examples=15, deadline=None, database=None, derandomize=True)
@given(
    cuts=st.lists(st.integers(1, 11), unique=True, max_size=4).map(sorted),
    k=st.integers(1, 14),
    levels=st.sampled_from([1, 2, 3, 500]),
    order=st.randoms(use_true_random=False),
)
def test_merged_parts_are_the_whole(cuts, k, levels, order):
    images = torch.randint(levels, (12, 3, 8, 10), generator=torch.Generator().manual_seed(k)).double()
    images[5:7] = images[1]
    images[8] = torch.nan
    tables = split_tables(images, "2", cuts, k)
    order.shuffle(tables)
    assert equal(merge_tables(tables), top_patches(whole_numbers(), "2", images, k=k)["2"])


def test_merged_one_by_one_are_the_whole():
    images = torch.randint(3, (12, 3, 8, 10), generator=torch.Generator().manual_seed(0)).double()
    tables = split_tables(images, "2", [3, 5, 6], 4)
    merged = tables[0]
    for table in tables[1:]:
        merged = merge_tables([merged, table])
    assert equal(merged, merge_tables(tables))


def test_an_image_that_is_in_two_parts_counts_once():
    """A sampler that spreads over processes gives some images twice, to make the parts equally long."""
    images = torch.randint(9, (5, 3, 8, 10), generator=torch.Generator().manual_seed(0)).double()
    model = whole_numbers()
    one, other = (top_patches(model, "2", images[ids], k=4)["2"] for ids in ([0, 2, 4], [1, 3, 0]))
    one = one._replace(image_ids=torch.where(one.image_ids < 0, -1, torch.tensor([0, 2, 4])[one.image_ids]))
    other = other._replace(image_ids=torch.where(other.image_ids < 0, -1, torch.tensor([1, 3, 0])[other.image_ids]))
    assert equal(merge_tables([one, other]), top_patches(model, "2", images, k=4)["2"])


def test_patches_at_all_borders_keep_their_size():
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 7, 9, generator=generator)
    for height, width in ((3, 4), (1, 1), (12, 15), (7, 9)):
        boxes = [(t, le, t + height, le + width) for t in range(-height - 1, 9) for le in range(-width - 1, 11)]
        seen = [box for box in boxes if box[2] > 0 and box[0] < 7 and box[3] > 0 and box[1] < 9]
        patches = cut_patches(image.expand(len(seen), -1, -1, -1), torch.tensor(seen))
        framed = F.pad(image, (20,) * 4, value=torch.nan)
        for patch, (top, left, bottom, right) in zip(patches, seen, strict=True):
            expected = framed[:, top + 20 : bottom + 20, left + 20 : right + 20]
            assert torch.equal(patch.nan_to_num(9e9), expected.nan_to_num(9e9)), (top, left, bottom, right)


@pytest.mark.parametrize(
    "box", [(-1, 2, 0, 3), (-5, 1, -2, 4), (4, 0, 7, 3), (9, 0, 12, 3), (0, -4, 3, -1), (1, 7, 4, 10)]
)
def test_a_patch_beyond_the_image_keeps_its_size_too(box):
    patch = cut_patches(torch.zeros(1, 2, 4, 6), torch.tensor([box]))
    assert patch.shape == (1, 2, box[2] - box[0], box[3] - box[1])
    assert patch.isnan().all()


def test_a_window_lies_inside_the_image_as_near_to_its_box_as_can_be():
    for height, width in ((3, 4), (1, 1), (12, 5), (7, 9), (30, 40)):
        boxes = [(t, le, t + height, le + width) for t in range(-height - 1, 9) for le in range(-width - 1, 11)]
        for box, window in zip(boxes, move_inside(torch.tensor(boxes), (7, 9)).tolist(), strict=True):
            for first, last, start, length in zip(window[:2], window[2:], box[:2], (7, 9), strict=True):
                side = min(last - first, length)
                assert side == min((height, width)[length == 9], length)
                away = [abs(place - start) for place in range(length - side + 1)]
                assert first >= 0
                assert last <= length
                assert abs(first - start) == min(away)


def test_patches_of_padding_alone():
    """A 1x1 convolution with padding is strongest on its bias."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1, padding=1))
    model[0].weight.data.fill_(1)
    images = -torch.ones(3, 1, 4, 6)
    found = top_patches(model, "0", images, k=3)["0"]
    assert found.boxes.tolist() == [[[-1, -1, 0, 0]] * 3]
    assert cut_patches(images, found.boxes[0]).shape == (3, 1, 1, 1)


def test_the_images_are_left_untouched_and_patches_are_copies():
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x.mul_(2))

    images = IMAGES.float()
    top_patches(InPlace(), "conv", images)
    assert torch.equal(images, IMAGES.float())
    patch = cut_patches(images[:1], torch.tensor([[1, 1, 5, 5]]))
    patch.zero_()
    assert torch.equal(images, IMAGES.float())


class Fails(Dataset[tuple[Tensor, int]]):
    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == 7:
            raise ArithmeticError(torch.rand(()), np.random.rand())
        return torch.ones(3, 12, 20), 0


def harnessed() -> nn.Sequential:
    torch.manual_seed(0)
    model = network().train()
    model[1].eval()
    model[3].weight.grad = torch.ones_like(model[3].weight)
    model[0].register_forward_hook(lambda module, inputs, output: None)
    return model


def test_the_model_and_the_random_streams_are_left_as_found():
    model = harnessed()
    images = torch.randn(6, 3, 12, 20)
    with left_as_found(model):
        top_patches(model, ["0", "3", "10"], DataLoader(Items(images), 2, shuffle=True), k=2)
    with torch.inference_mode(), left_as_found(model):
        top_patches(model, "*", images, k=2)


def test_also_after_an_error_half_way():
    model = harnessed()
    with left_as_found(model), pytest.raises(ArithmeticError):
        top_patches(model, ["0", "10"], Fails(), batch_size=2)
    with left_as_found(model), pytest.raises(ArithmeticError):
        top_patches(model, ["0", "10"], DataLoader(Fails(), 2))
    with left_as_found(model), pytest.raises(ValueError, match="units"):
        top_patches(model, ["0", "10"], torch.ones(2, 3, 12, 20), units=[7])
    with left_as_found(model), pytest.raises(RuntimeError):
        top_patches(model, ["0", "10"], [torch.ones(2, 3, 12, 20), torch.ones(2, 5, 12, 20)])


def test_the_model_is_in_eval_mode():
    model = network().train()
    images = torch.randn(6, 3, 12, 20)
    assert equal(top_patches(model, "10", images)["10"], top_patches(model.eval(), "10", images)["10"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, r"top_patches\(k=0\): must be at least 1"),
        ({"k": -3}, r"k=-3"),
        ({"layers": "none"}, 'top_patches: .*no layer "none".*Choices'),
        ({"layers": []}, "top_patches.*layers"),
        ({"units": [6]}, r'units of "0" go from 0 to 5; got \[6\]'),
        ({"units": [-1]}, r'units of "0" go from 0 to 5; got \[-1\]'),
        ({"units": []}, "top_patches.*units"),
        ({"units": [0.5]}, "top_patches.*units"),
        ({"batch_size": 0}, "top_patches.*batch_size=0"),
        ({"max_images": 0}, "top_patches.*max_images=0"),
        ({"max_images": -2}, "top_patches.*max_images=-2"),
        ({"data": 5}, r"top_patches\(data=\.\.\.\): must be images, a data set with a length, or a loader; got.*int"),
        ({"data": IMAGES[:0]}, "top_patches.*there are no images in it"),
        ({"data": []}, "top_patches.*there are no images in it"),
        ({"data": IMAGES[0]}, r"no images \(N, C, H, W\)"),
        ({"data": IMAGES.to(torch.uint8)}, r"of a float type in a tensor .*uint8"),
        ({"data": [torch.zeros(3)]}, r"no images \(N, C, H, W\)"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        top_patches(strided().double(), **{"layers": "0", "data": IMAGES} | arguments)


def test_the_cure_is_one_of_its_own_arguments():
    with pytest.raises(ValueError, match="batch_fn") as raised:
        top_patches(strided(), "0", IMAGES[0])
    assert "Probe" not in str(raised.value)


def test_an_iterable_data_set_that_knows_its_length_is_a_loader():
    class Stream(IterableDataset[Tensor]):
        def __iter__(self) -> Iterator[Tensor]:
            return iter(IMAGES.split(4))

        def __len__(self) -> int:
            return 4

    model = strided().double()
    assert equal(top_patches(model, "3", Stream(), k=3)["3"], top_patches(model, "3", IMAGES, k=3)["3"])


def test_a_layer_that_gives_no_maps_is_named():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.cut = nn.Conv2d(3, 4, 3), nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.cut(self.conv(x).flatten(2)[:, :, :50])

    with pytest.raises(ValueError, match="top_patches.*Leave it out"):
        top_patches(Odd(), "cut", IMAGES)
