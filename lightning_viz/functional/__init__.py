"""Tensors in, maps out: every method as a pure function, without Lightning, pictures or files."""

from lightning_viz.functional.activations import activation_maps
from lightning_viz.functional.attribution import grad_cam, grad_cam_layer, guided_grad_cam, saliency
from lightning_viz.functional.filters import conv_filters
from lightning_viz.functional.reconstruction import reconstruct

__all__ = [
    "activation_maps",
    "conv_filters",
    "grad_cam",
    "grad_cam_layer",
    "guided_grad_cam",
    "reconstruct",
    "saliency",
]
