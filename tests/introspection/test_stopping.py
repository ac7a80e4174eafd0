import pytest
import torch
from helpers.checks import left_as_found
from helpers.known import small_vit
from helpers.networks import Calls, Does, convnet
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from lightning_viz.introspection.stopping import PartialRun

IMAGES = torch.randn(2, 3, 12, 20, generator=torch.Generator().manual_seed(0))


class Once(nn.Module):
    """Runs once, then never again."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        if self.runs > 1:
            raise AssertionError("what comes after the layer ran")
        return x


def through_hook(model: nn.Module, layer: str, images: Tensor) -> Tensor:
    """What a plain hook sees last, before anything can work on it in place."""
    seen = []
    handle = model.get_submodule(layer).register_forward_hook(
        lambda _module, _inputs, output: seen.append(output.clone())
    )
    with torch.no_grad():
        model(images)
    handle.remove()
    return seen[-1]


def test_nothing_after_the_layer_runs():
    once = Once()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), once, nn.Flatten(), nn.Linear(4 * 10 * 18, 5))
    run = PartialRun(model, "1", "who")
    first, *others = (run(IMAGES) for _ in range(4))
    expected = model[1](model[0](IMAGES))
    assert torch.equal(first, expected)
    assert all(torch.equal(other, expected) for other in others)
    assert once.runs == 1


@pytest.mark.parametrize("layer", ["0", "1", "2", "3", "4", "6"])
def test_every_call_gives_what_a_hook_sees(layer):
    model = convnet()
    run, expected = PartialRun(model, layer, "who"), through_hook(model, layer, IMAGES)
    assert all(torch.equal(run(IMAGES), expected) for _ in range(3))


def test_an_in_place_rectifier_behind_the_layer_does_not_reach_it():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True))
    run = PartialRun(model, "0", "who")
    maps = [run(IMAGES) for _ in range(2)]
    assert all(one.min() < 0 for one in maps)
    assert torch.equal(maps[0], maps[1])


def test_of_a_layer_that_runs_several_times_the_last_run_counts():
    model = Does(lambda self, x: self.head(self.conv(F.relu(self.conv(self.conv(x))))), conv=nn.Conv2d(3, 3, 3))
    model.head = Calls(lambda x: x.mean((2, 3)))
    run = PartialRun(model, "conv", "who")
    expected = model.conv(F.relu(model.conv(model.conv(IMAGES))))
    assert all(torch.equal(run(IMAGES), expected) for _ in range(3))


def test_a_module_with_two_names_counts_all_its_runs():
    shared = nn.Conv2d(3, 3, 3)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    for layer in ("0", "2"):
        run = PartialRun(model, layer, "who")
        assert all(torch.equal(run(IMAGES), model(IMAGES)) for _ in range(2))


def test_a_layer_that_gives_its_tensor_in_a_tuple_works():
    model = small_vit()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    run = PartialRun(model, "encoder.layers.encoder_layer_1.self_attention", "who")
    assert all(run(images).shape == (2, 17, 16) for _ in range(2))


@pytest.mark.parametrize("layer", ["linear2", "norm1", "self_attn.out_proj"])
def test_layers_inside_torchs_own_encoder_are_found_though_it_has_a_fast_path(layer):
    torch.manual_seed(0)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.Flatten(2), Calls(lambda x: x.transpose(1, 2)), encoder)
    model.eval()
    if layer == "self_attn.out_proj":  # its weights are used, it is never called
        with pytest.raises(ValueError, match='who: layer "3.self_attn.out_proj" does not run'):
            PartialRun(model, f"3.{layer}", "who")(IMAGES)
        return
    run = PartialRun(model, f"3.{layer}", "who")
    with torch.no_grad():
        found = [run(IMAGES) for _ in range(2)]
    assert all(torch.allclose(one, run(IMAGES), atol=1e-5) for one in found)


def test_the_graph_is_kept_at_every_call():
    model = convnet()
    run = PartialRun(model, "3", "who")
    for _ in range(3):
        leaf = IMAGES.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(run(leaf).square().sum() / 2, leaf)
        (expected,) = torch.autograd.grad(model[:4](leaf).square().sum() / 2, leaf)
        assert torch.allclose(gradient, expected, atol=1e-6)


def test_images_of_another_size_are_fine_where_only_what_comes_after_can_not_take_them():
    model = convnet(size=(12, 20))
    run, larger = PartialRun(model, "3", "who"), torch.randn(1, 3, 31, 17)
    with pytest.raises(RuntimeError):
        model(larger)
    assert all(torch.equal(run(larger), model[:4](larger)) for _ in range(2))
    assert torch.equal(run(IMAGES), model[:4](IMAGES))


def test_the_model_is_left_as_found_and_its_own_errors_come_through():
    model = convnet()
    run = PartialRun(model, "3", "who")
    wrong = torch.randn(2, 4, 12, 20)
    with left_as_found(model):
        with pytest.raises(RuntimeError, match="channels"):
            run(wrong)  # the first call
        run(IMAGES)
        with pytest.raises(RuntimeError, match="channels"):
            run(wrong)
        run(IMAGES)


def test_a_layer_inside_a_checkpointed_part_keeps_its_graph():
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ELU(), nn.Conv2d(4, 6, 3), nn.ELU())
    model = Does(lambda self, x: checkpoint(self.block, x, use_reentrant=False).mean((2, 3)), block=block)
    run = PartialRun(model, "block.2", "who")
    for _ in range(3):
        leaf = IMAGES.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(run(leaf).square().sum() / 2, leaf)
        (expected,) = torch.autograd.grad(block[:3](leaf).square().sum() / 2, leaf)
        assert torch.allclose(gradient, expected, atol=1e-5)


def test_a_model_that_catches_exceptions_does_not_catch_the_end():
    def forward(self: Does, x: Tensor) -> Tensor:
        try:
            return self.conv(x)
        except Exception:  # noqa: BLE001
            return x

    model = Does(forward, conv=nn.Conv2d(3, 4, 3))
    run = PartialRun(model, "conv", "who")
    assert all(torch.equal(run(IMAGES), model.conv(IMAGES)) for _ in range(2))


def test_a_layer_that_runs_less_often_than_at_first_is_refused():
    def forward(self: Does, x: Tensor) -> Tensor:
        return self.conv(self.conv(x)) if len(x) == 2 else self.conv(x)

    run = PartialRun(Does(forward, conv=nn.Conv2d(3, 3, 3)), "conv", "who")
    run(IMAGES)
    with pytest.raises(ValueError, match='who: layer "conv" ran less often'):
        run(IMAGES[:1])


def test_a_layer_that_is_missing_or_does_not_run_is_refused():
    model = Does(lambda _, x: x.mean((2, 3)), unused=nn.Conv2d(3, 4, 3))
    with pytest.raises(ValueError, match="who: Does has no layer \"nowhere\".*'unused'"):
        PartialRun(model, "nowhere", "who")
    with pytest.raises(ValueError, match='who: layer "unused" does not run'):
        PartialRun(model, "unused", "who")(IMAGES)


def test_a_layer_that_gives_no_tensor_is_refused():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), Calls(lambda x: {"maps": x}), Calls(lambda given: given["maps"]))
    with pytest.raises(TypeError, match='layer "1" .* returns a dict'):
        PartialRun(model, "1", "who")(IMAGES)
