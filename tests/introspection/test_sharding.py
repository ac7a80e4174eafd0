"""Sharded models are known by what they are; the real ones, in a group of one process."""

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel, ShardingStrategy, fully_shard
from torch.distributed.tensor import DTensor, distribute_module, init_device_mesh

from lightning_viz.introspection.isolation import isolated
from lightning_viz.introspection.sharding import refuse_sharded, sharded_part

IMAGES = torch.rand(2, 3, 12, 20)


@pytest.fixture(scope="module", autouse=True)
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    meeting = tmp_path_factory.mktemp("group") / "meeting"
    dist.init_process_group("gloo", f"file://{meeting}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture
def model() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.ReLU(), nn.Conv2d(4, 2, 1)))


def _plain(model: nn.Module) -> bool:
    return not any(isinstance(parameter, DTensor) for parameter in model.parameters())


def test_a_root_alone_is_known_whether_its_weights_are_gathered_or_not(model: nn.Sequential) -> None:
    mesh = init_device_mesh("cpu", (1,))
    assert isinstance(fully_shard(model, mesh=mesh), FSDPModule)
    assert not _plain(model)
    assert sharded_part(model) == "the model (FSDPModule)"
    with torch.no_grad():
        model(IMAGES)
    assert _plain(model)
    assert sharded_part(model) == "the model (FSDPModule)"
    with pytest.raises(RuntimeError, match="sharded over processes.*Train with DDP"), isolated(model):
        pytest.fail("lent")


def test_a_module_inside_is_named_also_below_a_compiled_one(model: nn.Sequential) -> None:
    fully_shard(model[1], mesh=init_device_mesh("cpu", (1,)), reshard_after_forward=False)
    model(IMAGES)
    assert _plain(model)
    assert sharded_part(model) == '"1" (FSDPModule)'
    assert sharded_part(torch.compile(model, backend="eager")) == '"_orig_mod.1" (FSDPModule)'


@pytest.mark.parametrize("original", [True, False])
@pytest.mark.parametrize("strategy", [ShardingStrategy.FULL_SHARD, ShardingStrategy.SHARD_GRAD_OP])
def test_the_first_fsdp_is_known_from_outside_and_from_inside(
    model: nn.Sequential, strategy: ShardingStrategy, original: bool
) -> None:
    wrapped = FullyShardedDataParallel(
        model, sharding_strategy=strategy, use_orig_params=original, device_id=torch.device("cpu")
    )
    for _ in range(2):
        assert sharded_part(wrapped) == "the model (FullyShardedDataParallel)"
        # Lightning hands callbacks what is inside the wrapper.
        assert sharded_part(wrapped.module) is not None
        with torch.no_grad():
            wrapped(IMAGES)


def test_tensors_of_several_processes_are_known(model: nn.Sequential) -> None:
    distribute_module(model[1], init_device_mesh("cpu", (1,)))
    assert sharded_part(model) == '"1.1.weight"'


def test_the_third_stage_of_deepspeed_is_known_by_its_mark(model: nn.Sequential) -> None:
    model[1][1].bias.ds_id = 0
    assert sharded_part(model) == '"1.1.bias"'


def test_what_is_whole_is_not_refused(model: nn.Sequential) -> None:
    namesake = type("FSDPModule", (nn.Sequential,), {})(model)
    for whole in (namesake, nn.parallel.DistributedDataParallel(model)):
        assert sharded_part(whole) is None
        refuse_sharded(whole)
