"""Tensors in, maps out: every method as a pure function, without Lightning, pictures or files."""

from lightning_viz.functional.filters import conv_filters

__all__ = ["conv_filters"]
