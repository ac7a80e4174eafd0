"""Maps to pictures: uint8 arrays ``(H, W, 3)``. Knows numbers and colours, and has never heard of a model."""

from lightning_viz.render.grids import FilterGrid, filter_grid
from lightning_viz.render.heat import heat_map
from lightning_viz.render.images import image_picture, mosaic, outline, overlay, resize_map, shrink, signed_picture
from lightning_viz.render.png import encode_png
from lightning_viz.render.scatter import scatter_picture
from lightning_viz.render.thumbnails import ThumbnailSheet, thumbnail_sheet

__all__ = [
    "FilterGrid",
    "ThumbnailSheet",
    "encode_png",
    "filter_grid",
    "heat_map",
    "image_picture",
    "mosaic",
    "outline",
    "overlay",
    "resize_map",
    "scatter_picture",
    "shrink",
    "signed_picture",
    "thumbnail_sheet",
]
