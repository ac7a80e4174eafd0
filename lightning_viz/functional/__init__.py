"""Tensors in, maps out: every method as a pure function, without Lightning, pictures or files."""

from lightning_viz.functional.activations import activation_maps
from lightning_viz.functional.attribution import grad_cam, grad_cam_layer, guided_grad_cam, saliency
from lightning_viz.functional.features import collect_features, feature_layer
from lightning_viz.functional.filters import conv_filters
from lightning_viz.functional.neighbours import (
    Neighbours,
    knn_accuracy,
    nearest_neighbours,
    silhouette,
    trustworthiness,
)
from lightning_viz.functional.occlusion import OcclusionMap, occlusion_map
from lightning_viz.functional.receptive_field import ReceptiveField, receptive_field
from lightning_viz.functional.reconstruction import reconstruct
from lightning_viz.functional.top_patches import PatchTable, cut_patches, merge_tables, top_patches
from lightning_viz.functional.tsne import align, drift, tsne, tsne_engine

__all__ = [
    "Neighbours",
    "OcclusionMap",
    "PatchTable",
    "ReceptiveField",
    "activation_maps",
    "align",
    "collect_features",
    "conv_filters",
    "cut_patches",
    "drift",
    "feature_layer",
    "grad_cam",
    "grad_cam_layer",
    "guided_grad_cam",
    "knn_accuracy",
    "merge_tables",
    "nearest_neighbours",
    "occlusion_map",
    "receptive_field",
    "reconstruct",
    "saliency",
    "silhouette",
    "top_patches",
    "trustworthiness",
    "tsne",
    "tsne_engine",
]
