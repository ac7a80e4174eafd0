"""How the features of a layer come about: what excites a unit most, epoch after epoch."""

from typing import ClassVar

from lightning_viz.callbacks.top_patches import TopPatches

__all__ = ["FeatureEvolution"]


class FeatureEvolution(TopPatches):
    """Show the evolution of features: of each unit the strongest activation over the data, its patch and projection.

    The tab puts the drawings of all epochs side by side, rows are units and columns epochs, with a mark where the
    winning image changed. It is drawn at epochs 0, 1, 2, 5, 10, 20, 30, 40, 64, 100, ... and at the end, unless you say
    otherwise. Logged per layer: ``overlap`` of the strongest k images with the drawing before, and ``settled``, the
    share of units whose strongest image stayed. Arguments as in ``TopPatches``.

    Source: Zeiler & Fergus, Visualizing and understanding convolutional networks, ECCV 2014, Fig. 4.

    Example:
        >>> FeatureEvolution(layers="features.6", units=[0, 5, 9]).method
        'evolution'
    """

    method: ClassVar[str] = "evolution"
    shown_patches: ClassVar[int | None] = 1
