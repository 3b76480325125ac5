"""Interactive views for the notebooks. Each file holds the pure view and the widget that wires it."""

from minillama.widgets.cache import CacheView
from minillama.widgets.canvas import CanvasView, show_canvas
from minillama.widgets.predict import Predict
from minillama.widgets.temperature import TemperatureExplorer
from minillama.widgets.tokens import TokenView, show_tokens
from minillama.widgets.top_p import TopPExplorer

__all__ = [
    "CacheView",
    "CanvasView",
    "Predict",
    "TemperatureExplorer",
    "TokenView",
    "TopPExplorer",
    "show_canvas",
    "show_tokens",
]
