"""Which kind each operation is of, as ATen names it: a new one of a known kind is taught here, and nowhere else."""

from typing import NamedTuple

__all__ = ["KINDS", "MATRIX_PRODUCTS", "POINTWISE", "RECTIFIERS", "SIZES", "Rectifier", "kind_of"]


class Rectifier(NamedTuple):
    """Which arguments say between what it lets numbers through."""

    lower: tuple[str, ...] = ()
    """Zero, all of them, where it begins at zero."""
    upper: str | None = None


RECTIFIERS = {
    "relu": Rectifier(),
    "clamp": Rectifier(("min",), "max"),
    "clamp_min": Rectifier(("min",)),
    "hardtanh": Rectifier(("min_val",), "max_val"),
    "threshold": Rectifier(("threshold", "value")),
}

MATRIX_PRODUCTS = {"mm": "self", "addmm": "mat1", "bmm": "self", "baddbmm": "batch1"}
"""And what their first factor is called."""

SIZES = {"view": "size", "_unsafe_view": "size", "expand": "size"}
"""Operations with an argument that holds sizes, that of the images first."""

# fmt: off
KINDS: dict[str, tuple[str, ...]] = {
    # Each place of one map, or of several of the same size, by itself.
    "rectifier": tuple(RECTIFIERS),
    "activation": ("leaky_relu", "elu", "celu", "silu", "gelu", "mish", "hardswish", "softplus", "tanh"),
    "addition": ("add", "sub"),
    "multiplication": ("mul", "div"),
    "copy": ("clone", "_to_copy"),
    "pointwise": (
        "sigmoid", "hardsigmoid", "_prelu_kernel", "rsub", "pow", "sqrt", "exp", "neg", "abs", "maximum", "minimum",
    ),
    # The same numbers in the same memory.
    "identity": ("alias", "lift_fresh"),
    "reshape": ("view", "_unsafe_view"),
    "permutation": ("transpose", "permute"),
    "pieces": ("select", "slice", "split", "split_with_sizes", "unbind"),
    # Several numbers together.
    "normalisation": (
        "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
        "_batch_norm_no_update", "cudnn_batch_norm", "miopen_batch_norm",
    ),
    "matrix product": tuple(MATRIX_PRODUCTS),
    "reduction": (
        "mean", "sum", "amax", "amin", "linalg_vector_norm", "_adaptive_avg_pool2d", "adaptive_max_pool2d",
    ),
    "along an axis": (
        "_softmax", "_log_softmax", "cumsum", "cumprod", "sort", "topk", "flip", "roll", "argsort", "index_select",
        "gather", "scatter",
    ),
    # What comes out is no map; a decision may hang on it.
    "decision": (
        "_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "unique2", "_unique2",
    ),
}
# fmt: on

POINTWISE = ("rectifier", "activation", "addition", "multiplication", "copy", "pointwise")
"""The kinds that treat each place by itself."""

_KIND = {operation: kind for kind, operations in KINDS.items() for operation in operations}


def kind_of(operation: str) -> str:
    """Give the kind of an operation; one that is like no other is a kind of its own."""
    return _KIND.get(operation, operation)
