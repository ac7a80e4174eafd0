import pickle

import pytest
import torch
from helpers.checks import left_as_found
from helpers.networks import Does, convnet
from torch import nn

from lightning_viz.introspection.calls import CallError, called_by, find_call, image_type
from lightning_viz.introspection.seen_calls import StepWatch

IMAGES = torch.randn(3, 3, 12, 20, generator=torch.Generator().manual_seed(0))


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = convnet()

    def forward(self, images, table):
        return self.net(images) + table


def plus_one(model, images):
    return model(images, images.new_ones(len(images), 5))


def test_inside_the_model_is_called_by_the_function_and_inside_that_as_ever():
    model = TwoInputs().eval()
    with left_as_found(model), called_by(model, plus_one):
        assert torch.equal(model(IMAGES), model.net(IMAGES) + 1)
        assert torch.equal(model(IMAGES), model.net(IMAGES) + 1)
    with pytest.raises(TypeError):
        model(IMAGES)


def test_a_forward_that_an_object_has_of_its_own_is_given_back_also_after_an_error():
    model = convnet()
    model.forward = own = lambda images: images * 2
    with called_by(model, lambda model, images: model(images) + 1):
        assert torch.equal(model(IMAGES), IMAGES * 2 + 1)
    with pytest.raises(ZeroDivisionError), called_by(model, lambda model, images: 1 / 0):
        model(IMAGES)
    assert vars(model)["forward"] is own


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_images_stay_in_their_type_where_the_model_takes_it_else_they_get_that_of_a_weight(dtype):
    model = nn.Conv2d(3, 4, 3).to(dtype)
    assert find_call(model, IMAGES).dtype == image_type(model, IMAGES)[1] == dtype
    beside = Does(lambda s, x: s.net(x), teacher=nn.Conv2d(3, 4, 3).to(dtype), net=nn.Conv2d(3, 4, 3))
    assert find_call(beside, IMAGES).dtype == torch.float32
    casts = Does(lambda s, x: s.net(x.to(dtype)), net=nn.Conv2d(3, 4, 3).to(dtype))
    assert find_call(casts, IMAGES).dtype == torch.float32


def test_what_cant_be_called_is_said_with_the_lines_to_write_and_the_reason():
    with pytest.raises(
        CallError, match=r"TwoInputs\(images\) failed on 2x3x12x20 images with TypeError.*'table'"
    ) as raised:
        find_call(TwoInputs(), IMAGES)
    assert "probe = Probe(forward_fn=call)" in str(raised.value)
    assert isinstance(raised.value.__cause__, TypeError)
    with pytest.raises(CallError, match="the probe's forward_fn failed .* ZeroDivisionError"):
        find_call(convnet(), IMAGES, lambda model, images: 1 / 0)
    assert image_type(TwoInputs().double(), IMAGES) == (torch.device("cpu"), torch.float64)


def watch(model: nn.Module, step) -> object:
    watching = StepWatch(model, IMAGES)
    step(model)
    return watching.end()


STEPS = {
    "itself": lambda s: s(IMAGES),
    "a part": lambda s: s.net(IMAGES),
    "a chain": lambda s: s.head(s.net(IMAGES)),
    "a keyword": lambda s: s.net(input=IMAGES),
    "a label by name": lambda s: s.loose({"x": IMAGES, "y": torch.ones(3), "scale": 2.0}),
    "beside another tensor": lambda s: (s.other(torch.ones(3, 5)), s.net(IMAGES)),
    "a loss on the images": lambda s: s.loss(s.net(IMAGES), IMAGES),
}

UNCLEAR = {
    "two of them": lambda s: (s.net(IMAGES), s.twin(IMAGES)),
    "a copy": lambda s: s.net(IMAGES.clone()),
    "nothing": lambda s: None,
    "together with another tensor": lambda s: s.loss(IMAGES, torch.ones(3)),
}


class Loose(nn.Module):
    def forward(self, batch):
        return batch["x"].mean((2, 3)) * batch["scale"]


class Loss(nn.Module):
    def forward(self, one, other):
        return one.mean() - other.mean()


def made() -> nn.Module:
    return Does(
        lambda s, x: s.net(x),
        net=convnet(), twin=convnet(), head=nn.Linear(5, 2), other=nn.Linear(5, 2),
        loose=Loose(), loss=Loss(),
    ).eval()  # fmt: skip


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_what_a_step_does_with_the_images_is_seen_and_can_be_done_with_others(step):
    model, others = made(), torch.randn(5, 3, 12, 20)
    with left_as_found(model):
        seen = pickle.loads(pickle.dumps(watch(model, step)))
        result = seen(model, others)
    expected = {
        "a chain": lambda: model.head(model.net(others)),
        "a label by name": lambda: others.mean((2, 3)) * 2,
    }
    name = next(name for name, one in STEPS.items() if one is step)
    assert torch.equal(result, expected.get(name, lambda: model.net(others))())


@pytest.mark.parametrize("step", UNCLEAR.values(), ids=UNCLEAR)
def test_what_is_not_clear_is_not_guessed(step):
    model = made()
    with left_as_found(model):
        assert watch(model, step) is None


def test_a_step_that_fails_leaves_no_hooks_and_the_chain_ends_there():
    model = made()
    watching = StepWatch(model, IMAGES)
    with pytest.raises(RuntimeError):
        model.head(model.net[0](IMAGES))
    with left_as_found(made()):
        seen = watching.end()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert [name for name, *_ in seen.calls] == ["net.0", "head"]
