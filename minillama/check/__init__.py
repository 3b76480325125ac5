"""Judges for the exercises: `check.top_p(my_top_p)` tries a learner's function and returns a Report."""

# ruff: noqa: F401
from minillama.check.judge import use
from minillama.check.limits import pinned as _pinned
from minillama.check.progress import copy_progress, progress, reset_progress
from minillama.check.report import Case, Report
from minillama.check.shapes import check_shape

with _pinned():  # the tensors of the cases lie on the CPU, in float32, whatever a learner has set before
    from minillama.check.batch import canvas, input_text_mask, row_bytes
    from minillama.check.cache import cache_bytes, cache_mask, cached_logits
    from minillama.check.chat import chat_faults, encode_dialog, guarded_chat, special_tags
    from minillama.check.completion import answer_scores, continuation, cut_at_stop, echo_lists, settled
    from minillama.check.cost import account, in_turns, step_bytes
    from minillama.check.files import count_parameters, load_model, read_params
    from minillama.check.generate import generate
    from minillama.check.logprobs import echo_logprobs, perplexity, prompt_logprobs, token_logprobs
    from minillama.check.loop import all_ended, columns, cut, eos_reached
    from minillama.check.network import attention, rms_norm, rotary
    from minillama.check.next_token import candidate, draw_rows, write_column
    from minillama.check.parallel import fitting_ranks, merge_shards, mlp_part
    from minillama.check.real_models import chatml, nats_per_byte, to_halves
    from minillama.check.sampling import greedy, min_p, sample_top_p, top_p
    from minillama.check.serving import left_pad, reused, serve
    from minillama.check.speed import int8_rows, tokens_per_second, tokens_to_pay
    from minillama.check.steering import banned, beam_step, best_of, only, repetition
    from minillama.check.temperature import entropy, same_probs, softmax
    from minillama.check.tokens import stream_text, token_bytes

__all__ = sorted(name for name, each in globals().items() if callable(each) and not name.startswith("_"))
