"""Batch normalisation in eval mode, as ATen names it: a scale and a shift per channel."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

__all__ = ["NORMALISATIONS", "affine", "by_batch"]

NORMALISATIONS = (
    "native_batch_norm",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training",
    "_batch_norm_no_update",
    "cudnn_batch_norm",
    "miopen_batch_norm",
)


def by_batch(given: Mapping[str, Any]) -> bool:
    """Whether a normalisation with these arguments takes the statistics of its own input."""
    return bool(given.get("training", False)) or not isinstance(given["running_var"], Tensor)


def affine(given: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Give the scale and the shift ``(C,)`` of a normalisation with these arguments."""
    scale = (given["running_var"] + given.get("eps", given.get("epsilon"))).rsqrt()
    scale = scale if given["weight"] is None else scale * given["weight"]
    shift = -given["running_mean"] * scale
    return scale, shift if given["bias"] is None else shift + given["bias"]
