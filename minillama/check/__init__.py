"""Judges for the exercises: `check.top_p(my_top_p)` tries a learner's function and returns a Report."""

from minillama.check.judge import use
from minillama.check.report import Case, Report
from minillama.check.sampling import greedy, min_p, sample_top_p, top_p
from minillama.check.shapes import check_shape

__all__ = ["Case", "Report", "check_shape", "greedy", "min_p", "sample_top_p", "top_p", "use"]
