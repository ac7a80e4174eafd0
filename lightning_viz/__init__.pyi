from . import functional as functional
from . import render as render
from .callbacks.base import Drawing as Drawing
from .callbacks.base import VizCallback as VizCallback
from .callbacks.filters import FilterImages as FilterImages
from .isolation import isolated as isolated
from .probe import Probe as Probe
