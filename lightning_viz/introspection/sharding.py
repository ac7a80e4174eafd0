"""Models whose weights are sharded over processes: running one alone would wait for the others for ever."""

from torch import Tensor, nn

__all__ = ["refuse_sharded", "sharded_part"]

KINDS = ("FSDPModule", "FullyShardedDataParallel")
"""By name: importing them takes long, and where they matter they are loaded."""


def refuse_sharded(model: nn.Module) -> None:
    """Refuse a model that no process can run alone. Waits for no other process.

    Raises:
        RuntimeError: It is sharded; the message says which part, and what to do.
    """
    part = sharded_part(model)
    if part is not None:
        raise RuntimeError(
            f"the weights of {part} are sharded over processes (FSDP, DeepSpeed stage 3, tensor parallel), so that no "
            "process can run the model alone. Train with DDP; or draw a checkpoint: load it into a model that is not "
            "sharded and call drawings(model) of the callback."
        )


def sharded_part(model: nn.Module) -> str | None:
    """Name the first part of a model that is sharded, or None.

    Modules are known by their class: while their weights are gathered (after validation, or where they are not sharded
    again after ``forward``) these are plain parameters, but the next ``forward`` or gradient calls all processes.
    """
    for name, module in model.named_modules():
        for kind in type(module).__mro__:
            if kind.__name__ in KINDS and kind.__module__.startswith("torch."):
                return f'"{name}" ({kind.__name__})' if name else f"the model ({kind.__name__})"
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if _is_sharded(tensor):
            return f'"{name}"'
    return None


def _is_sharded(tensor: Tensor) -> bool:
    marked = hasattr(tensor, "ds_id") or getattr(tensor, "_fsdp_flattened", False)
    return marked or any(kind.__name__ == "DTensor" for kind in type(tensor).__mro__)
