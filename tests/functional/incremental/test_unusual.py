"""Occlusion maps of models that are easily followed wrongly."""

from collections.abc import Callable

import pytest
import torch
from helpers.networks import Does, head
from helpers.occluding import EMPTY_BORDER, IMAGES, loop, mean_over_squares, shares_of, unsettle
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lightning_viz.functional import occlusion_map


def bright(image: Tensor) -> Tensor:
    """An image whose largest value a few squares hide."""
    image = image.clone()
    image[0, 0, 9, 17] = 9
    return image


def queries_keys_and_values(self: Does, x: Tensor) -> Tensor:
    tokens = self.conv(x).flatten(2).transpose(1, 2)
    stacked = self.all(tokens).unflatten(-1, (3, 8)).unsqueeze(0).transpose(0, -2).squeeze(-2)
    q, k, v = stacked[0], stacked[1], stacked[2]
    return self.head(F.scaled_dot_product_attention(q, k, v).mean(1))


def slope(self: Does, x: Tensor) -> Tensor:
    with torch.enable_grad():
        images = x.flatten(1).detach().requires_grad_()
        features = self.head(images).tanh()
        (steep,) = torch.autograd.grad(features.sum(), images)
    return self.last(features.detach() + 0.1 * steep.abs().mean(1, keepdim=True))


def strongest_token(self: Does, x: Tensor) -> Tensor:
    tokens = self.conv(x).flatten(2).transpose(1, 2)
    return self.head(tokens[torch.arange(len(x)), tokens.norm(dim=-1).argmax(1)])


UNUSUAL: dict[str, Callable[[], nn.Module]] = {
    "a number taken out of a tensor": lambda: Does(
        lambda s, x: s.head(s.conv(x / float(x.max()))), conv=nn.Conv2d(3, 4, 3, padding=1), head=head(4, 16, 24)
    ),
    "a decision on a value": lambda: Does(
        lambda s, x: s.head(s.conv(x)) if x.max() > 8 else s.head(2 * s.conv(x)),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "a map of numbers added": lambda: Does(
        lambda s, x: s.head(F.relu(s.conv(x) + s.head[1].weight[:, : 16 * 24].reshape(1, 4, 16, 24))),
        conv=nn.Conv2d(3, 4, 9, padding=4),
        head=head(4, 16, 24),
    ),
    "a map of one channel as factor": lambda: Does(
        lambda s, x: s.head(F.relu(s.conv(x) * torch.linspace(0, 1, 24))),
        conv=nn.Conv2d(3, 4, 9, padding=4),
        head=head(4, 16, 24),
    ),
    "coordinates beside the channels": lambda: Does(
        lambda s, x: s.head(s.conv(torch.cat([x, torch.linspace(0, 1, 24).expand(len(x), 1, 16, 24)], 1))),
        conv=nn.Conv2d(4, 4, 9, padding=4),
        head=head(4, 16, 24),
    ),
    "group normalisation": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), head(4, 16, 24)
    ),
    "instance normalisation": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.ReLU(), head(4, 16, 24)
    ),
    "normalisation of features": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), head(4, 16, 24, 6), nn.BatchNorm1d(6), nn.Linear(6, 4)
    ),
    "transposed convolution, normalised": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1), nn.ConvTranspose2d(4, 4, 2, 2), nn.BatchNorm2d(4), head(4, 16, 24)
    ),
    "places of the maximum": lambda: Does(
        lambda s, x: s.head(F.max_unpool2d(*F.max_pool2d(s.conv(x), 2, return_indices=True), 2)),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "tokens and attention": lambda: Does(
        lambda s, x: s.head(s.attention(*[s.conv(x).flatten(2).transpose(1, 2)] * 3)[0].mean(1)),
        conv=nn.Conv2d(3, 8, 4, 4),
        attention=nn.MultiheadAttention(8, 2, batch_first=True),
        head=nn.Linear(8, 4),
    ),
    "queries, keys and values on the first axis": lambda: Does(
        queries_keys_and_values,
        conv=nn.Conv2d(3, 8, 4, 4),
        all=nn.Linear(8, 24),
        head=nn.Linear(8, 4),
    ),
    "a convolution along one axis": lambda: Does(
        lambda s, x: s.head(s.gate(s.conv(x).mean((2, 3))[:, None])[:, 0]),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        gate=nn.Conv1d(1, 1, 3, padding=1),
        head=nn.Linear(4, 4),
    ),
    "no parameters": lambda: Does(lambda s, x: x.amax((2, 3))),
    "pooled globally": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    ),
    "pooled globally, twice": lambda: Does(
        lambda s, x: s.head(s.conv(x).mean((-1, -2)) * s.conv(x).mean((2, 3), keepdim=True).sigmoid()[..., 0, 0]),
        conv=nn.Conv2d(3, 8, 3, padding=1),
        head=nn.Linear(8, 4),
    ),
    "means of channels, of rows and in double": lambda: Does(
        lambda s, x: s.head(
            F.relu(s.conv(x) * s.conv(x).mean(1, keepdim=True) + s.conv(x).mean(2, keepdim=True))
            + s.conv(x).mean((2, 3), keepdim=True, dtype=torch.float64).float()
        ),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "a product with factors": lambda: Does(
        lambda s, x: torch.addmm(s.head.bias, s.conv(x).flatten(1), s.head.weight.t().contiguous(), alpha=0.3),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=nn.Linear(4 * 16 * 24, 50),
    ),
    "a product, and its view": lambda: Does(
        lambda s, x: s.conv(x).view(len(x), -1) @ s.head.weight.t().contiguous(),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=nn.Linear(4 * 16 * 24, 50),
    ),
    "numbers taken out by NumPy": lambda: Does(
        lambda s, x: s.head(s.conv(x / float(x.detach().numpy().max()))),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "numbers taken out as a list": lambda: Does(
        lambda s, x: s.head(s.conv(x / max(x.amax((1, 2, 3)).tolist()))),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "the largest value of the batch": lambda: Does(
        lambda s, x: s.head(s.conv(x / x.max())), conv=nn.Conv2d(3, 4, 3, padding=1), head=head(4, 16, 24)
    ),
    "mean and spread of the batch": lambda: Does(
        lambda s, x: s.head(s.conv((x - x.mean()) / x.std())), conv=nn.Conv2d(3, 4, 3, padding=1), head=head(4, 16, 24)
    ),
    "the largest of the batch at each place": lambda: Does(
        lambda s, x: s.head(s.conv(x / (1 + x.amax(0, keepdim=True)))),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "the images of the batch the other way round": lambda: Does(
        lambda s, x: s.head(s.conv(x) + 0.1 * s.conv(x.flip(0))),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "the first image of the batch taken off": lambda: Does(
        lambda s, x: s.head(s.conv(x) - 0.01 * s.conv(x[0])), conv=nn.Conv2d(3, 4, 3, padding=1), head=head(4, 16, 24)
    ),
    "the first images of the batch taken off": lambda: Does(
        lambda s, x: s.head(s.conv(x) - 0.001 * s.conv(x[:1])), conv=nn.Conv2d(3, 4, 3, padding=1), head=head(4, 16, 24)
    ),
    "all images of the batch": lambda: Does(
        lambda s, x: s.head(s.conv(x[0:])[:, :, 0:]), conv=nn.Conv2d(3, 4, 3, padding=1), head=head(4, 16, 24)
    ),
    "the images of the batch in turn": lambda: Does(
        lambda s, x: s.head(s.conv(x) * (1 + x.roll(1, 0).mean((1, 2, 3), keepdim=True))),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "normalised with statistics of the batch": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU(), head(4, 16, 24)
    ),
    "images changed in place": lambda: nn.Sequential(
        nn.Hardtanh(-1, 1, inplace=True), nn.Conv2d(3, 4, 3, padding=1), head(4, 16, 24)
    ),
    "attention with images and places exchanged": lambda: Does(
        lambda s, x: s.head(s.attention(*[s.conv(x).flatten(2).transpose(1, 2)] * 3)[0].mean(1)),
        conv=nn.Conv2d(3, 8, 4, 4),
        attention=nn.MultiheadAttention(8, 2),
        head=nn.Linear(8, 4),
    ),
    "less the mean of the batch": lambda: Does(
        lambda s, x: s.head(s.conv(x) - 0.5 * s.conv(x).mean(0, keepdim=True)),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "normalised over the batch": lambda: Does(
        lambda s, x: s.head(s.conv(x) + F.normalize(s.conv(x), dim=0)),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "the token with the strongest activation": lambda: Does(
        strongest_token, conv=nn.Conv2d(3, 8, 4, 4), head=nn.Linear(8, 4)
    ),
    "the last image by a tensor": lambda: Does(
        lambda s, x: s.head(s.conv(x) - 0.5 * s.conv(x)[torch.tensor([-1])]),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "the last image in linear layers": lambda: Does(
        lambda s, x: s.head((x - 0.5 * x[torch.tensor([-1])]).flatten(1)), head=nn.Linear(3 * 16 * 24, 4)
    ),
    "the first image by its number": lambda: Does(
        lambda s, x: s.head(s.conv(x - 0.1 * x.index_select(0, torch.tensor([0])))),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "the last map of all images": lambda: Does(
        lambda s, x: s.head(s.conv(x) * s.conv(x).flatten(0, 1)[-1].sigmoid()),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "values gathered by constant places": lambda: Does(
        lambda s, x: s.head(s.conv(x)).gather(1, torch.tensor([[2, 0, 1]]).expand(len(x), -1)),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "one image at once": lambda: Does(
        lambda s, x: s.head(s.conv(x).reshape(1, -1)),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=nn.Linear(4 * 16 * 24, 4),
    ),
    "one image at once, in linear layers": lambda: Does(
        lambda s, x: s.head(x.reshape(1, -1)), head=nn.Linear(3 * 16 * 24, 4)
    ),
    "one bias for all classes": lambda: Does(
        lambda s, x: F.linear(s.conv(x).flatten(1), s.head.weight, s.head.bias[:1].expand(50)),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=nn.Linear(4 * 16 * 24, 50),
    ),
    "gradients inside": lambda: Does(slope, head=nn.Linear(3 * 16 * 24, 64), last=nn.Linear(64, 4)),
    "strides chosen by hand": lambda: Does(
        lambda s, x: s.head(s.conv(x).as_strided((len(x), 4, 16, 24), (4 * 16 * 24, 16 * 24, 24, 1))),
        conv=nn.Conv2d(3, 4, 3, padding=1),
        head=head(4, 16, 24),
    ),
    "scores that the image does not move": lambda: Does(
        lambda s, x: s.head.weight.new_ones(len(x), 4), head=nn.Linear(1, 1)
    ),
}


@pytest.mark.parametrize("batch_size", [1, 5, 64])
@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_models_are_as_a_loop_finds_them(name, batch_size):
    torch.manual_seed(0)
    model = UNUSUAL[name]().eval()
    unsettle(model)
    truth = loop(model, bright(IMAGES[:1]), 4, 3, together=False)
    found = occlusion_map(model, bright(IMAGES[:1]), 1, 4, 3, batch_size=batch_size)
    assert (found.probability - shares_of(truth, [1])).abs().max() <= 1e-5
    fall = truth.clean.softmax(1)[0, 1] - found.probability[0]
    expected = mean_over_squares(fall, 4, 3, (16, 24))
    torch.testing.assert_close(found.drop[0], expected, atol=1e-5, rtol=0, check_dtype=False)


@pytest.mark.parametrize(("square", "stride"), [(6, 2), (5, 3), (4, 4)])
@pytest.mark.parametrize(
    "name",
    [
        "instance normalisation",
        "places of the maximum",
        "normalised with statistics of the batch",
        "attention with images and places exchanged",
        "less the mean of the batch",
        "the first image by its number",
        "the token with the strongest activation",
    ],
)
def test_they_are_so_too_where_the_first_squares_hide_nothing(name, square, stride):
    """As with figures on an empty ground, of the value that hides."""
    torch.manual_seed(0)
    model = UNUSUAL[name]().eval()
    image = EMPTY_BORDER[:, :, 4:20, 8:32].repeat(1, 3, 1, 1)
    truth = loop(model, image, square, stride, together=False)
    found = occlusion_map(model, image, 1, square, stride)
    assert (found.probability - shares_of(truth, [1])).abs().max() <= 1e-5


@pytest.mark.parametrize("batch_size", [2, 5, None])
def test_activity_of_a_layer_that_mixes_the_images_beside_the_way_to_the_scores(batch_size):
    def forward(self: Does, x: Tensor) -> Tensor:
        maps = self.conv(x)
        self.beside(maps)
        return self.head(maps.amax((2, 3)))

    torch.manual_seed(0)
    beside = nn.Sequential(nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU())
    model = Does(forward, conv=nn.Conv2d(3, 4, 3, padding=1), beside=beside, head=nn.Linear(4, 4)).eval()
    found = occlusion_map(model, IMAGES[:1], 1, 4, 3, layer="beside", unit=2, batch_size=batch_size).activity
    expected = loop(model, IMAGES[:1], 4, 3, layer="beside", together=False).sums[..., 2]
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-5, check_dtype=False)


def test_the_strongest_unit_is_that_of_the_model_itself():
    """What is traced has other strides."""

    def forward(self: Does, x: Tensor) -> Tensor:
        again = x.as_strided((len(x), 3, 16, 24), (3 * 16 * 24, 16 * 24, 24, 1))
        return self.head(F.relu(self.conv(again)).mean((2, 3)))

    for seed in range(6):
        torch.manual_seed(seed)
        model = Does(forward, conv=nn.Conv2d(3, 8, 3, padding=1), head=nn.Linear(8, 4)).eval()
        unit = int(model.conv(IMAGES[:1]).amax((2, 3)).argmax())
        found = occlusion_map(model, IMAGES[:1], 1, 4, 3, layer="conv").activity
        torch.testing.assert_close(found, occlusion_map(model, IMAGES[:1], 1, 4, 3, layer="conv", unit=unit).activity)


@pytest.mark.parametrize("size", [1e6, 1e8])
def test_a_hot_pixel_does_not_drown_what_is_pooled(size):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    ).eval()
    image = IMAGES[:1].clone()
    image[0, :, 8, 12] = size
    found = occlusion_map(model, image, 1, 4, 3).probability
    assert (found - shares_of(loop(model, image, 4, 3, together=False), [1])).abs().max() <= 1e-5


def test_sums_of_half_precision_do_not_overflow(said):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 9, padding=4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)).eval()
    model[0].bias.data += 400  # times the 16 x 16 places of a box it is more than half precision holds
    model[3].weight.data /= 400
    model, image = model.half(), IMAGES[:1].half()
    found = occlusion_map(model, image, 1, 8, 4).probability
    assert said() == []
    expected = shares_of(loop(model, image, 8, 4, together=False), [1])
    assert (found.float() - expected.float()).abs().max() <= 2e-3


@pytest.mark.parametrize("batch_size", [1, 5, 64])
@pytest.mark.parametrize("form", ["added", "beside"])
def test_maps_of_numbers_where_some_boxes_are_the_whole_map_and_others_are_not(form, batch_size):
    """Squares in the middle reach everything, those in a corner do not."""
    torch.manual_seed(0)
    own = torch.randn(1, 4, 12, 14)

    def forward(self: Does, x: Tensor) -> Tensor:
        maps = self.conv(x)
        maps = maps + own if form == "added" else torch.cat([maps, own.expand(len(x), -1, -1, -1)], 1)
        return self.head(F.relu(maps))

    parts = {"conv": nn.Conv2d(3, 4, 9, padding=4), "head": head(4 if form == "added" else 8, 12, 14)}
    model, image = Does(forward, **parts).eval(), IMAGES[:1, :, :12, :14]
    found = occlusion_map(model, image, 1, 5, 2, batch_size=batch_size)
    assert (found.probability - shares_of(loop(model, image, 5, 2), [1])).abs().max() <= 1e-5


@pytest.mark.parametrize(
    "name",
    [
        "normalisation of features",
        "transposed convolution, normalised",
        "group normalisation",
        "no parameters",
        "pooled globally",
        "pooled globally, twice",
        "a product, and its view",
        "a product with factors",
        "all images of the batch",
        "one bias for all classes",
        "a convolution along one axis",
        "means of channels, of rows and in double",
    ],
)
def test_usual_parts_are_followed(name, said):
    model = UNUSUAL[name]().eval()
    unsettle(model)
    occlusion_map(model, IMAGES[:1], 1, 4, 3)
    assert said() == []


@pytest.mark.parametrize("name", ["tokens and attention", "queries, keys and values on the first axis"])
def test_attention_does_not_look_as_if_images_were_mixed(name, said):
    occlusion_map(UNUSUAL[name]().eval(), IMAGES[:1], 1, 4, 3)
    assert not any("image by image" in message for message in said())
