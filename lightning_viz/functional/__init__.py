"""Tensors in, maps out: every method as a pure function, without Lightning, pictures or files."""

from lightning_viz.functional.activations import activation_maps
from lightning_viz.functional.attribution import grad_cam, grad_cam_layer, guided_grad_cam, saliency
from lightning_viz.functional.filters import conv_filters
from lightning_viz.functional.occlusion import OcclusionMap, occlusion_map
from lightning_viz.functional.patches import PatchTable, cut_patches, merge_tables, top_patches
from lightning_viz.functional.receptive import ReceptiveField, receptive_field
from lightning_viz.functional.reconstruction import reconstruct

__all__ = [
    "OcclusionMap",
    "PatchTable",
    "ReceptiveField",
    "activation_maps",
    "conv_filters",
    "cut_patches",
    "grad_cam",
    "grad_cam_layer",
    "guided_grad_cam",
    "merge_tables",
    "occlusion_map",
    "receptive_field",
    "reconstruct",
    "saliency",
    "top_patches",
]
