"""Llama 2 inference, small enough to read in an afternoon.

>>> from minillama import Llama
>>> llama = Llama.build()  # the course model; any checkpoint folder in Meta's layout will do
>>> llama.text_completion(["Once upon a time"], temperature=0)  # doctest: +SKIP
"""

from minillama.chat import Dialog, Message
from minillama.checkpoint import COURSE_MODEL
from minillama.generation import Llama
from minillama.loop import GenerationStep, steps
from minillama.model import ModelArgs, Transformer
from minillama.results import ChatPrediction, CompletionPrediction
from minillama.sampling import Sampling, sample_top_p
from minillama.tokenizer import Tokenizer
from minillama.words import language

__version__ = "0.1.0"

__all__ = [
    "COURSE_MODEL",
    "ChatPrediction",
    "CompletionPrediction",
    "Dialog",
    "GenerationStep",
    "Llama",
    "Message",
    "ModelArgs",
    "Sampling",
    "Tokenizer",
    "Transformer",
    "language",
    "sample_top_p",
    "steps",
]
