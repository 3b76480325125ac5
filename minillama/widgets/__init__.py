"""Interactive views for the notebooks. Each file has a view, a pure function from data to HTML, and its widget."""

from minillama.widgets.attention import AttentionExplorer
from minillama.widgets.beam import BeamView
from minillama.widgets.cache import CacheView
from minillama.widgets.canvas import CanvasView, show_canvas
from minillama.widgets.chat_panel import ChatPanel
from minillama.widgets.chat_view import ChatView, show_chat
from minillama.widgets.echo import show_echo
from minillama.widgets.heatmap import LogprobHeatmap, show_logprobs
from minillama.widgets.predict import Predict
from minillama.widgets.stepper import GenerateStepper
from minillama.widgets.steps import show_step
from minillama.widgets.temperature import TemperatureExplorer
from minillama.widgets.tokens import TokenView, show_tokens
from minillama.widgets.top_p import TopPExplorer

__all__ = [
    "AttentionExplorer",
    "BeamView",
    "CacheView",
    "CanvasView",
    "ChatPanel",
    "ChatView",
    "GenerateStepper",
    "LogprobHeatmap",
    "Predict",
    "TemperatureExplorer",
    "TokenView",
    "TopPExplorer",
    "show_canvas",
    "show_chat",
    "show_echo",
    "show_logprobs",
    "show_step",
    "show_tokens",
]
