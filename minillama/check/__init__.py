"""Judges for the exercises: `check.top_p(my_top_p)` tries a learner's function and returns a Report."""

from minillama.check.batch import canvas, input_text_mask, row_bytes
from minillama.check.cache import cache_bytes, cache_mask, cached_logits
from minillama.check.files import count_parameters, load_model, read_params
from minillama.check.judge import use
from minillama.check.loop import all_ended
from minillama.check.network import attention, rms_norm, rotary
from minillama.check.report import Case, Report
from minillama.check.sampling import greedy, min_p, sample_top_p, top_p
from minillama.check.shapes import check_shape
from minillama.check.temperature import entropy, same_probs, softmax
from minillama.check.tokens import stream_text, token_bytes

__all__ = [
    "Case",
    "Report",
    "all_ended",
    "attention",
    "cache_bytes",
    "cache_mask",
    "cached_logits",
    "canvas",
    "check_shape",
    "count_parameters",
    "entropy",
    "greedy",
    "input_text_mask",
    "load_model",
    "min_p",
    "read_params",
    "rms_norm",
    "rotary",
    "row_bytes",
    "same_probs",
    "sample_top_p",
    "softmax",
    "stream_text",
    "token_bytes",
    "top_p",
    "use",
]
