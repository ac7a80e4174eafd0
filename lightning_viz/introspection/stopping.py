"""Run a model as far as a layer, and no further."""

from functools import partial
from typing import Any

from torch import Tensor, nn

from lightning_viz.introspection.layers import capture, find_layer, last_call, tensor_of

__all__ = ["PartialRun"]


class PartialRun:
    """Gives what a layer returns when it runs last, without what comes after it.

    The first call runs the whole model, to see how often the layer runs; the next ones end there.

    Args:
        model: On loan.
        layer: Dotted name.
        who: Begins the error message.

    Raises:
        ValueError: No such layer, or one that does not run.

    Example:
        >>> import torch
        >>> run = PartialRun(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), "0", "test")
        >>> run(torch.randn(2, 3, 12, 20)).shape
        torch.Size([2, 4, 10, 18])
    """

    def __init__(self, model: nn.Module, layer: str, who: str) -> None:
        self.module = find_layer(model, layer, nn.Module, who=who)
        self._model, self._layer, self._who = model, layer, who
        self._runs = 0

    def __call__(self, images: Tensor) -> Tensor:
        """Run on images ``(N, C, H, W)``; the graph is kept."""
        if not self._runs:
            with capture(self._model, self._layer) as outputs:
                try:
                    self._model(images)
                except Exception:
                    if not outputs[self._layer]:
                        raise  # what comes after the layer may need images of another size
            self._runs = len(outputs[self._layer])
            return last_call(outputs, self._layer, self._who)
        left = iter(range(self._runs - 1))
        handle = self.module.register_forward_hook(partial(_stop, self._layer, left))
        try:
            self._model(images)
        except _ReachedError as reached:
            return reached.output
        finally:
            handle.remove()
        raise ValueError(f'{self._who}: layer "{self._layer}" ran less often for these images than for the first.')


class _ReachedError(BaseException):
    """The layer has run. No ``except Exception`` of the model's own may catch it."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output


def _stop(layer: str, left: Any, module: nn.Module, inputs: Any, output: Any) -> None:
    if next(left, None) is not None:
        return
    raise _ReachedError(tensor_of(layer, module, output))
