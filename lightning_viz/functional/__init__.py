"""Tensors in, maps out: every method as a pure function, without Lightning, pictures or files."""

from lightning_viz.functional.activations import activation_maps as activation_maps
from lightning_viz.functional.attribution import grad_cam as grad_cam
from lightning_viz.functional.attribution import grad_cam_layer as grad_cam_layer
from lightning_viz.functional.attribution import guided_grad_cam as guided_grad_cam
from lightning_viz.functional.attribution import saliency as saliency
from lightning_viz.functional.features import collect_features as collect_features
from lightning_viz.functional.features import feature_layer as feature_layer
from lightning_viz.functional.filters import conv_filters as conv_filters
from lightning_viz.functional.neighbours import Neighbours as Neighbours
from lightning_viz.functional.neighbours import knn_accuracy as knn_accuracy
from lightning_viz.functional.neighbours import nearest_neighbours as nearest_neighbours
from lightning_viz.functional.neighbours import silhouette as silhouette
from lightning_viz.functional.neighbours import trustworthiness as trustworthiness
from lightning_viz.functional.occlusion import OcclusionMap as OcclusionMap
from lightning_viz.functional.occlusion import occlusion_map as occlusion_map
from lightning_viz.functional.receptive_field import ReceptiveField as ReceptiveField
from lightning_viz.functional.receptive_field import receptive_field as receptive_field
from lightning_viz.functional.reconstruction import reconstruct as reconstruct
from lightning_viz.functional.top_patches import PatchTable as PatchTable
from lightning_viz.functional.top_patches import cut_patches as cut_patches
from lightning_viz.functional.top_patches import merge_tables as merge_tables
from lightning_viz.functional.top_patches import top_patches as top_patches
from lightning_viz.functional.tsne import align as align
from lightning_viz.functional.tsne import drift as drift
from lightning_viz.functional.tsne import tsne as tsne
from lightning_viz.functional.tsne import tsne_engine as tsne_engine
