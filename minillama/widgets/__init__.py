"""Interactive views for the notebooks. Each file holds the pure view and the widget that wires it."""

from minillama.widgets.predict import Predict
from minillama.widgets.top_p import TopPExplorer

__all__ = ["Predict", "TopPExplorer"]
