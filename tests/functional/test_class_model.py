import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.checks import left_as_found
from helpers.known import small_vit
from helpers.networks import Calls, Does, convnet, in_training
from scipy.special import logsumexp
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lightning_viz.functional.class_model import class_model, synthesise
from lightning_viz.functional.synthesis.regularisation import NAMED, Regularisation

SIZE = (16, 24)
IMAGES = torch.randn(12, 3, *SIZE, generator=torch.Generator().manual_seed(0))
NAMES = list(NAMED)


def linear(channels: int, size: tuple[int, int], classes: int = 3) -> nn.Sequential:
    torch.manual_seed(channels)
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], classes))


def pooled(channels: int = 3, classes: int = 4) -> nn.Sequential:
    """Runs at any size, and has a gradient at the zero image."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1), nn.ELU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, classes)
    ).eval()


def score_of(model: nn.Module, images: Tensor, targets: list[int]) -> Tensor:
    with torch.no_grad():
        return model(images)[torch.arange(len(images)), targets]


def objective_of(name: str, model: nn.Module, images: Tensor, targets: list[int]) -> Tensor:
    """What a named regularisation climbs, terms that are part of a step aside."""
    if NAMED[name].rivals:
        return odds_of(model, images, targets)
    return score_of(model, images, targets) - NAMED[name].l2 * images.square().sum((1, 2, 3))


def odds_of(model: nn.Module, images: Tensor, targets: list[int]) -> Tensor:
    with torch.no_grad():
        scores = model(images).double().numpy()
    rivals = [logsumexp(np.delete(row, target)) for row, target in zip(scores, targets, strict=True)]
    return torch.from_numpy(scores[np.arange(len(scores)), targets] - rivals)


# Against closed forms


@pytest.mark.parametrize("strength", [1e-3, 0.01, 0.3, 1, 10])
@pytest.mark.parametrize(("channels", "size"), [(1, (16, 24)), (3, (20, 17)), (4, (17, 16))])
@pytest.mark.parametrize("bias", [0, 1e4])
def test_of_a_linear_score_less_a_norm_the_best_image_is_known(channels, size, strength, bias):
    """w.I + b - lambda |I|^2 is largest where I = w / (2 lambda), even where b hides what is gained on the way."""
    model, images = linear(channels, size), torch.randn(2, channels, *size)
    nn.init.constant_(model[1].bias, bias)
    found = class_model(model, [0, 2], images=images, regularisation=replace(NAMED["l2"], l2=strength))
    best = (model[1].weight[[0, 2]] / (2 * strength)).detach().reshape(2, channels, *size)
    assert ((found - best).flatten(1).norm(dim=1) <= 1e-3 * best.flatten(1).norm(dim=1)).all()


def test_by_name_it_is_that_of_three_hundredths():
    model = linear(3, SIZE)
    found = class_model(model, 1, images=IMAGES, regularisation="l2")
    best = (model[1].weight[1] / 0.06).detach().reshape(1, 3, *SIZE)
    assert (found - best).norm() <= 1e-3 * best.norm()


@pytest.mark.parametrize("count", [1, 5, 9])
@pytest.mark.parametrize(("channels", "size"), [(3, (16, 24)), (3, (17, 21)), (1, (16, 17)), (4, (19, 16))])
def test_maco_holds_the_magnitudes_and_the_mean_colour_of_the_images(channels, size, count):
    generator = torch.Generator().manual_seed(channels)
    mixed = torch.randn(channels, channels, generator=generator) + 2 * torch.diag(torch.arange(1.0, channels + 1))
    images = torch.einsum("dc,nchw->ndhw", mixed, torch.randn(count, channels, *size, generator=generator)) + 0.2
    found = class_model(pooled(channels), [0, 3], images=images, steps=6, regularisation="maco").double().numpy()
    theirs = images.double().numpy()
    covariance = np.cov(theirs.transpose(1, 0, 2, 3).reshape(channels, -1)).reshape(channels, channels)
    axes = np.linalg.eigh(covariance)[1]
    power = (np.abs(np.fft.rfft2(np.einsum("dc,ndhw->nchw", axes, theirs))) ** 2).mean(0)
    spectrum = np.abs(np.fft.rfft2(np.einsum("dc,ndhw->nchw", axes, found)))
    waves = np.ones(power.shape, bool)
    waves[:, 0, 0] = False
    for one in spectrum:
        np.testing.assert_allclose(one[waves], np.sqrt(power)[waves], rtol=1e-4)
    np.testing.assert_allclose(found.mean((2, 3)), np.tile(theirs.mean((0, 2, 3)), (2, 1)), atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 0.1


def test_by_the_rules_it_starts_at_zero_and_goes_by_the_range_of_the_images():
    """One step of a linear score: the factor, in units of 0..255 of each channel."""
    model = linear(3, SIZE)
    images = IMAGES * torch.tensor([1.0, 2.0, 0.5])[:, None, None]
    found = class_model(model, 1, images=images, steps=1, regularisation=Regularisation(step_size=2000, decay=0.25))
    low, high = (end(images.numpy(), axis=(0, 2, 3))[:, None, None] for end in (np.min, np.max))
    weights = model[1].weight[1].detach().numpy().reshape(3, *SIZE)
    expected = 0.75 * 2000 * weights * ((high - low) / 255) ** 2
    np.testing.assert_allclose(found[0], np.clip(expected, low, high), atol=1e-5)


# What the ascent does


@pytest.mark.parametrize("name", NAMES)
def test_the_objective_rises(name):
    model, targets = convnet(size=SIZE), [0, 2, 4]
    found = class_model(model, targets, images=IMAGES, steps=40, regularisation=name)
    start = torch.zeros_like(found)
    if name == "maco":  # random phases
        start = class_model(model, targets, images=IMAGES, steps=1, regularisation=name)
    assert (objective_of(name, model, found, targets) > objective_of(name, model, start, targets) + 1e-3).all()
    assert found.shape == (3, 3, *SIZE)
    assert found.isfinite().all()


def test_with_rivals_it_is_the_odds_that_rise_most():
    """Two classes that share what excites them: only the odds tell them apart."""
    torch.manual_seed(0)
    model = linear(3, SIZE, 2)
    with torch.no_grad():
        common = torch.randn(3 * SIZE[0] * SIZE[1])
        model[1].weight.copy_(common + 0.2 * torch.randn(2, len(common)))
    images = {
        rivals: class_model(
            model,
            [0, 1],
            images=IMAGES,
            steps=25,
            regularisation=Regularisation("fourier", step_size=0.05, rivals=rivals),
        )
        for rivals in (0, 1)
    }
    scores = {rivals: score_of(model, found, [0, 1]) for rivals, found in images.items()}
    odds = {rivals: odds_of(model, found, [0, 1]) for rivals, found in images.items()}
    assert (odds[1] > odds[0] + 1).all()
    assert (scores[0] > scores[1] + 1).all()


@pytest.mark.parametrize("name", NAMES)
def test_all_targets_in_one_batch_climb_as_each_does_alone(name):
    model, targets = convnet(size=SIZE), [4, 0, 2]
    arguments = {"images": IMAGES, "steps": 3, "regularisation": name}
    together = class_model(model, targets, **arguments)
    alone = torch.cat([class_model(model, target, **arguments) for target in targets])
    in_twos = class_model(model, torch.tensor(targets), batch_size=2, **arguments)
    for other in (alone, in_twos):
        assert torch.allclose(together, other, atol=1e-5 * float(together.abs().max()))


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_the_same_bytes_and_another_gives_others_where_there_is_chance(name):
    model, arguments = convnet(size=SIZE), {"images": IMAGES, "steps": 3, "regularisation": name}
    first, again, other = (class_model(model, [1, 3], seed=seed, **arguments) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (name not in ("fourier", "maco"))


@pytest.mark.parametrize("name", NAMES)
def test_a_warm_start_goes_on_from_there(name):
    model, targets = convnet(size=SIZE), [0, 3]
    arguments = {"images": IMAGES, "regularisation": name}
    before = class_model(model, targets, steps=30, **arguments)
    warm, cold = (class_model(model, targets, steps=2, init=init, **arguments) for init in (before, None))
    assert (objective_of(name, model, warm, targets) >= objective_of(name, model, cold, targets) - 1e-4).all()
    assert ((warm - before).abs().mean((1, 2, 3)) < (warm - cold).abs().mean((1, 2, 3))).all()


def test_one_start_serves_all_and_what_is_not_finite_starts_from_nothing():
    model = convnet(size=SIZE)
    start = class_model(model, 1, size=SIZE, steps=5)
    arguments = {"size": SIZE, "steps": 2}
    one = class_model(model, [0, 2], init=start, **arguments)
    assert torch.equal(one, class_model(model, [0, 2], init=start.expand(2, -1, -1, -1), **arguments))
    broken = start.repeat(2, 1, 1, 1)
    broken[1, 0, 0, 0] = torch.nan
    found = class_model(model, [0, 2], init=broken, **arguments)
    assert torch.allclose(found[0], one[0], atol=1e-6)
    assert torch.allclose(found[1:], class_model(model, 2, **arguments), atol=1e-5)


def test_arguments_are_left_untouched():
    init = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    images, start, targets = IMAGES.clone(), init.clone(), torch.tensor([0, 1])
    class_model(convnet(size=SIZE), targets, images=images, init=init, steps=2)
    assert torch.equal(images, IMAGES)
    assert torch.equal(init, start)
    assert targets.tolist() == [0, 1]


# Units of a layer


@pytest.mark.parametrize("place", ["centre", "mean"])
def test_of_a_linear_layer_the_unit_is_climbed_at_its_place(place):
    """I = (what the activation is a product with) / (2 lambda), found here by convolving backwards."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.Flatten(), nn.Linear(4 * 7 * 11, 2))
    found = class_model(model, [1, 3], layer="0", size=SIZE, place=place, regularisation=replace(NAMED["l2"], l2=0.05))
    signal = torch.full((1, 1, 7, 11), 1 / 77) if place == "mean" else torch.zeros(1, 1, 7, 11)
    if place == "centre":
        signal[..., 3, 5] = 1
    backwards = [F.conv_transpose2d(signal, model[0].weight[[unit]], stride=2)[0] for unit in (1, 3)]
    best = torch.stack([F.pad(one, (0, SIZE[1] - one.shape[2], 0, SIZE[0] - one.shape[1])) for one in backwards]) / 0.1
    assert (found - best).norm() <= 2e-3 * best.norm()


def test_nothing_behind_the_layer_runs_but_once_and_rivals_are_of_classes_only():
    class Once(nn.Module):
        runs = 0

        def forward(self, x: Tensor) -> Tensor:
            if not torch.is_grad_enabled():
                return x
            raise AssertionError("what comes after the layer ran in the ascent")

    model = convnet(size=SIZE)
    guarded = nn.Sequential(*model[:4], Once(), *model[4:])
    found = class_model(guarded, [0, 5], layer="3", images=IMAGES, steps=3)
    plain = class_model(
        model, [0, 5], layer="3", images=IMAGES, steps=3, regularisation=replace(NAMED["fourier"], rivals=0)
    )
    assert torch.equal(found, plain)


def functional_net() -> nn.Module:
    def forward(self: Does, x: Tensor) -> Tensor:
        x = self.one(x).relu_()
        x = F.relu(self.two(self.two(x)), inplace=True)
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))

    torch.manual_seed(0)
    parts = {"one": nn.Conv2d(3, 4, 3), "two": nn.Conv2d(4, 4, 3), "head": nn.Linear(4, 3)}
    return Does(forward, **parts).eval()


@pytest.mark.parametrize("layer", ["one", "two", "head", "end"])
def test_layers_of_a_functional_network_rise(layer):
    """``one`` has a rectifier behind it that works in place; ``two`` runs twice."""
    model, seen = functional_net(), []
    few, many = (class_model(model, [0, 2], layer=layer, size=SIZE, steps=steps) for steps in (1, 30))
    handle = model.get_submodule(layer).register_forward_hook(
        lambda _module, _inputs, output: seen.append(output.clone())
    )
    activations = []
    for images in (few, many):
        with torch.no_grad():
            model(images)
        maps = seen[-1].reshape(*seen[-1].shape[:2], *(seen[-1].shape[2:] or (1, 1)))
        middle = maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2]
        activations.append(middle[[0, 1], [0, 2]])
    handle.remove()
    assert (activations[1] > activations[0]).all()


def test_the_tokens_of_a_transformer_rise():
    model, layer = small_vit(), "encoder.layers.encoder_layer_1"
    found = {steps: synthesise(model, torch.tensor([0, 7]), layer, size=(32, 32), steps=steps) for steps in (1, 12)}
    values = {steps: one.values[[0, 1], [0, 7]] for steps, one in found.items()}
    assert (values[12] > values[1]).all()
    assert found[12].values.shape == (2, 16)
    scores = [score_of(model, class_model(model, [1], size=(32, 32), steps=steps), [1]) for steps in (1, 12)]
    assert scores[1] > scores[0]


@pytest.mark.parametrize("size", [(20, 30), (9, 11)])
def test_a_layer_needs_no_size_that_the_classifier_takes(size):
    model = convnet(size=(12, 20))
    with pytest.raises(RuntimeError):
        model(torch.zeros(1, 3, *size))
    assert class_model(model, 0, layer="1", size=size, steps=2).shape == (1, 3, *size)


# Kinds of models


def test_a_single_output_speaks_for_two_classes():
    model = linear(3, SIZE, 1)
    found = class_model(model, [0, 1], images=IMAGES, regularisation="l2")
    best = (model[1].weight / 0.06).detach().reshape(3, *SIZE)
    assert ((found - torch.stack([-best, best])).norm() <= 2e-3 * best.norm()).all()
    flat = nn.Sequential(model, Calls(lambda x: x[:, 0]))
    assert torch.equal(class_model(flat, [0, 1], images=IMAGES, regularisation="l2"), found)
    assert class_model(model, [0, 1], images=IMAGES, steps=3).isfinite().all()  # rivals, too


@pytest.mark.parametrize(
    ("pack", "output"),
    [
        (lambda scores: {"logits": scores, "loss": None}, None),
        (lambda scores: {"logits": scores}, "logits"),
        (lambda scores: {"head": scores}, "head"),
        (lambda scores: (None, scores), 1),
        (lambda scores: {"all": [scores]}, lambda returned: returned["all"][0]),
    ],
)
def test_scores_are_found_where_output_says(pack, output):
    model = convnet(size=SIZE)
    packed = Does(lambda self, x: pack(self.net(x)), net=model)
    assert torch.equal(
        class_model(packed, 2, size=SIZE, steps=2, output=output), class_model(model, 2, size=SIZE, steps=2)
    )


def test_of_a_segmentation_the_mean_of_a_class_is_climbed():
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ELU(), nn.Conv2d(4, 3, 1)).eval()
    pooled_one = nn.Sequential(dense, Calls(lambda maps: maps.mean((2, 3))))
    arguments = {"images": IMAGES, "steps": 3}
    assert torch.allclose(
        class_model(dense, [0, 2], **arguments), class_model(pooled_one, [0, 2], **arguments), atol=1e-5
    )


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("groups", [False, True])
def test_without_images_the_channels_are_those_that_the_model_takes(channels, groups):
    torch.manual_seed(0)
    first = nn.Conv2d(channels, 2 * channels, 3, groups=channels if groups else 1)
    model = nn.Sequential(first, nn.ELU(), nn.Conv2d(2 * channels, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    found = class_model(model, [0, 2], size=(16, 21), steps=30)
    assert found.shape == (2, channels, 16, 21)
    assert (found.abs() <= 2).all()
    assert (odds_of(model, found, [0, 2]) > odds_of(model, torch.zeros(2, channels, 16, 21), [0, 2])).all()


def test_networks_that_mix_the_images_of_a_batch_climb_one_at_a_time():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.BatchNorm2d(6, track_running_stats=False),
        nn.ELU(),
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(),
        nn.Linear(54, 4),
    ).eval()
    together = class_model(model, [0, 3], size=SIZE, steps=3)
    alone = torch.cat([class_model(model, target, size=SIZE, steps=3) for target in (0, 3)])
    assert torch.equal(together, alone)
    assert torch.equal(together, class_model(model, [0, 3], size=SIZE, steps=3, batch_size=2))


@pytest.mark.parametrize("name", ["l2", "yosinski-3", "fourier", "maco"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_of_another_precision_works_and_the_image_is_float32(dtype, name):
    model, targets = pooled().to(dtype), [0, 2]
    found = class_model(model, targets, images=IMAGES, steps=20, regularisation=name)
    assert found.dtype == torch.float32
    full = pooled()
    start = torch.zeros_like(found)
    if name == "maco":
        start = class_model(full, targets, images=IMAGES, steps=1, regularisation=name)
    assert (objective_of(name, full, found, targets) > objective_of(name, full, start, targets)).all()


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (40, 16), (5, 4), (3, 2), (1, 7), (1, 1)])
@pytest.mark.parametrize("name", ["l2", "yosinski-4", "fourier", "maco"])
def test_any_size(size, name):
    found = class_model(pooled(), [0, 3], images=IMAGES, size=size, steps=4, regularisation=name)
    assert found.shape == (2, 3, *size)
    assert found.isfinite().all()
    plain = found if name == "maco" else class_model(pooled(), [0, 3], size=size, steps=4, regularisation=name)
    assert plain.shape == found.shape


def test_fourier_stays_in_the_range_of_the_images():
    found = class_model(pooled(), [0, 3], images=0.1 * IMAGES, steps=40)
    low, high = (end[:, None, None] for end in ((0.1 * IMAGES).amin((0, 2, 3)), (0.1 * IMAGES).amax((0, 2, 3))))
    assert ((found >= low - 1e-6) & (found <= high + 1e-6)).all()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_targets_of_any_whole_type(dtype):
    expected = class_model(pooled(), [3, 0], size=SIZE, steps=2)
    assert torch.equal(class_model(pooled(), torch.tensor([3, 0], dtype=dtype), size=SIZE, steps=2), expected)


# Dead targets and numbers that are not finite


def with_dead(*units: int) -> nn.Sequential:
    """Whose classes are rectified, some of them with weights of zero."""
    torch.manual_seed(0)
    model = nn.Sequential(linear(3, SIZE, 4), nn.ReLU())
    with torch.no_grad():
        model[0][1].bias.fill_(1)
        model[0][1].weight[list(units)] = 0
        model[0][1].bias[list(units)] = -1
    return model


@pytest.mark.parametrize("name", ["l2", "yosinski-1", "fourier", "maco"])
def test_a_dead_target_is_nan_and_named_and_others_do_not_notice(name, said):
    arguments = {"images": IMAGES, "steps": 4, "regularisation": name}
    found = class_model(with_dead(2), [1, 2, 0], **arguments)
    assert found[1].isnan().all()
    assert torch.allclose(found[[0, 2]], class_model(with_dead(2), [1, 0], **arguments), atol=1e-5)
    assert [line for line in said() if "NaN" in line] == [
        "class_model: class 2: nothing was found that moves it; its image is NaN."
    ]
    assert class_model(with_dead(2), [2], **arguments).isnan().all()


def test_a_dead_unit_is_named_with_its_layer(said):
    found = class_model(with_dead(0, 3), [0, 1, 3], layer="1", size=SIZE, steps=2)
    assert found.isnan().flatten(1).all(1).tolist() == [True, False, True]
    assert any('"1" unit 0, 3: nothing was found' in line for line in said())


def test_a_class_without_biases_starts_from_faint_noise():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    zero = torch.zeros(1, 3, *SIZE, requires_grad=True)
    assert torch.autograd.grad(model(zero).sum(), zero)[0].eq(0).all()
    found = class_model(model, [0, 1, 2, 3], size=SIZE, steps=20)
    assert (score_of(model, found, [0, 1, 2, 3]) > 0.1).all()


def test_what_only_the_users_images_move_starts_from_those(said):
    """Alive where a picture is nearly that of an image, which noise never is."""
    picture = IMAGES[7] / IMAGES[7].norm()

    def score(images: Tensor) -> Tensor:
        likeness = (images * picture).sum((1, 2, 3))
        return torch.stack([F.relu(likeness - 20), images.mean((1, 2, 3))], 1)

    regularisation = Regularisation(step_size=100)
    found = class_model(Calls(score), [0, 1], images=IMAGES, steps=2, regularisation=regularisation)
    assert found.isfinite().all()
    assert F.cosine_similarity(found[0].flatten(), picture.flatten(), dim=0) > 0.9
    assert not said()
    others = class_model(Calls(score), [0, 1], images=IMAGES[:6], steps=2, regularisation=regularisation)
    assert others.isnan().flatten(1).all(1).tolist() == [True, False]


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["yosinski-3", "fourier", "maco"])
def test_a_score_that_is_no_longer_finite_leaves_the_last_finite_image_and_is_named(name, bad, said):
    model, arguments = pooled(), {"images": IMAGES, "regularisation": name}
    halfway = class_model(model, [1, 2], steps=10, **arguments)
    limit = float(score_of(model, halfway[:1], [1]))

    def breaks(scores: Tensor) -> Tensor:
        own = scores[:, 1:2].masked_fill(scores[:, 1:2] > limit, bad)
        return torch.cat([scores[:, :1], own, scores[:, 2:]], 1)

    arguments["regularisation"] = replace(NAMED[name], rivals=0)
    broken = nn.Sequential(model, Calls(breaks))
    found, free = (class_model(one, [1, 2], steps=60, **arguments) for one in (broken, model))
    assert found.isfinite().all()
    assert torch.allclose(found[1], free[1], atol=1e-4)
    assert (found[0] - free[0]).abs().max() > 1e-3
    assert [line for line in said() if "class 1: its score or gradient became infinite or NaN" in line]


def test_a_score_that_is_nowhere_finite_is_named_and_its_image_is_finite(said):
    model = nn.Sequential(pooled(), Calls(lambda scores: scores + torch.tensor([0, torch.inf, 0, 0])))
    found = class_model(model, [0, 1], size=SIZE, steps=2, regularisation=replace(NAMED["fourier"], rivals=0))
    assert found.isfinite().all()
    assert any("class 1: its score or gradient became" in line for line in said())


# What is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": 5}, r"class_model: there is no class 5; there are 5: 0 to 4"),
        ({"targets": [0, -1]}, r"class_model: there is no class -1"),
        ({"targets": [0, 9], "layer": "3"}, r'there is no unit of "3" 9; there are 8: 0 to 7'),
        ({"layer": "nowhere"}, "class_model: Sequential has no layer \"nowhere\". Choices: '0', '1'"),
        ({"targets": 0.5}, "class_model: targets must be one or more whole numbers"),
        ({"targets": [0.0, 1.0]}, "targets must be one or more whole numbers"),
        ({"targets": torch.tensor([True])}, "targets must be one or more whole numbers"),
        ({"targets": []}, "targets must be one or more whole numbers"),
        ({"size": None}, r"class_model: give images \(N, C, H, W\) of your data, or size=\(H, W\)"),
        ({"images": IMAGES * torch.nan}, "class_model: images must be finite"),
        ({"images": IMAGES / 0}, "class_model: images must be finite"),
        ({"images": IMAGES[0]}, r"class_model: images must be \(N, C, H, W\).*got \(3, 16, 24\)"),
        ({"images": IMAGES.long()}, r"class_model: images must be .*float.*int64"),
        ({"images": IMAGES[:0]}, "not empty"),
        ({"size": (16, 0)}, r"class_model\(size=\(16, 0\)\): must be \(H, W\)"),
        ({"size": (16, 24, 3)}, r"class_model\(size=\(16, 24, 3\)\)"),
        ({"size": 16}, r"class_model\(size=16\): must be \(H, W\)"),
        ({"size": (16.0, 24.0)}, r"class_model\(size=\(16.0, 24.0\)\)"),
        ({"regularisation": "maco"}, "class_model: the magnitudes come from your own data: give images"),
        (
            {"regularisation": "l1"},
            r"class_model\(regularisation='l1'\): choices are 'l2', .*'maco', or a Regularisation",
        ),
        ({"place": "corner"}, r"class_model\(place='corner'\): choices are 'centre', 'mean'"),
        ({"steps": 0}, r"class_model\(steps=0\): must be a whole number of at least 1"),
        ({"steps": 1.5}, r"class_model\(steps=1.5\)"),
        ({"batch_size": 0}, r"class_model\(batch_size=0\): must be a whole number"),
        ({"init": torch.zeros(2, 3, *SIZE)}, r"init must be \(1, 3, 16, 24\).*got \(2, 3, 16, 24\)"),
        ({"init": torch.zeros(1, 3, 24, 16)}, r"init must be .*got \(1, 3, 24, 16\)"),
        ({"init": torch.zeros(3, *SIZE)}, r"init must be .*got \(3, 16, 24\)"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    model = convnet(size=SIZE)
    with left_as_found(model), pytest.raises(ValueError, match=message):
        class_model(model, **{"targets": 0, "size": SIZE, "steps": 2, **arguments})


@pytest.mark.parametrize("name", ["l2", "yosinski-3", "fourier"])
def test_a_model_without_a_gradient_is_refused(name):
    model = nn.Sequential(Calls(lambda x: x.detach()), convnet(size=SIZE))
    with pytest.raises(ValueError, match="class_model: no derivative reaches that far down"):
        class_model(model, 0, size=SIZE, regularisation=name)


def test_a_model_that_gives_no_scores_is_refused():
    with pytest.raises(TypeError, match=r"class_model: the model returned a dict with keys 'boxes'.*output=\.\.\."):
        class_model(Does(lambda self, x: {"boxes": self.net(x)}, net=pooled()), 0, size=SIZE)
    with pytest.raises(ValueError, match=r"class_model: the class scores must be \(N, classes\)"):
        class_model(nn.Sequential(pooled(), Calls(lambda x: x[:, None])), 0, size=SIZE)


def test_a_layer_that_gives_no_maps_is_refused():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Flatten(2), Calls(lambda x: x[:, :5]), nn.Flatten(), nn.Linear(5 * 14 * 22, 4)
    )
    with pytest.raises(
        ValueError, match=r"class_model: an output of shape \(1, 5, 308\) .* Choose a layer that gives one"
    ):
        class_model(model, 0, layer="2", size=SIZE)


def test_a_model_that_runs_on_nothing_of_this_size_is_refused():
    with pytest.raises(ValueError, match=r"class_model: Sequential runs on no image of size \(9, 9\)"):
        class_model(convnet(size=SIZE), 0, size=(9, 9))


# The model is borrowed


@pytest.mark.parametrize("name", ["l2", "yosinski-1", "fourier", "maco"])
@pytest.mark.parametrize("layer", [None, "0"])
def test_the_model_is_left_as_found(name, layer):
    model = in_training(IMAGES)
    with left_as_found(model):
        found = class_model(model, [0, 2], layer, IMAGES, steps=3, regularisation=name)
    assert found.isfinite().all()
    assert not found.requires_grad


@pytest.mark.parametrize("layer", [None, "0"])
def test_a_model_that_raises_half_way_is_left_as_found(layer):
    class Breaks(nn.Module):
        runs = 0

        def forward(self, x: Tensor) -> Tensor:
            self.runs += 1
            if self.runs > 12:
                raise KeyError("half-way")
            return x

    model = nn.Sequential(Breaks(), in_training(IMAGES))
    with left_as_found(model), pytest.raises(KeyError, match="half-way"):
        class_model(model, [0, 2], "1.0" if layer else None, IMAGES, steps=50)


def test_a_caller_without_gradients_gets_the_same():
    model = convnet(size=SIZE)
    expected = [class_model(model, [0, 1], images=IMAGES, steps=3, regularisation=name) for name in NAMES]
    callers: list[Callable[[], object]] = [torch.inference_mode, torch.no_grad, lambda: torch.autocast("cpu")]
    for caller in callers:
        with caller():
            images = IMAGES * 1
            found = [
                class_model(model, [0, 1], images=images, init=None, steps=3, regularisation=name) for name in NAMES
            ]
            warm = class_model(model, [0, 1], images=images, init=found[0] * 1, steps=3)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
        assert warm.isfinite().all()


def test_from_another_thread_it_is_the_same():
    model, found = convnet(size=SIZE), []
    thread = threading.Thread(target=lambda: found.append(class_model(model, 1, size=SIZE, steps=3)))
    thread.start()
    thread.join()
    assert torch.equal(found[0], class_model(model, 1, size=SIZE, steps=3))
