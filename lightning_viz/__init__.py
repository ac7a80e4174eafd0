"""Callbacks that show what a vision network learns, epoch by epoch, beside the loss.

The public names are listed in ``__init__.pyi`` and loaded on first use: importing this package imports neither torch
nor Lightning.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
