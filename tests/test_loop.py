"""The loop as a free function: any forward, the very columns, where it ends; and the logits of whole texts."""

import pytest
import torch

from minillama import Llama, Sampling, steps
from minillama.guard import CacheTaken, _locks
from minillama.loop import canvas
from minillama.widgets.scores import score

GREEDY = Sampling(temperature=0)
VOCAB, EOS = 10, 2


def countdown(tokens, start_pos):
    """After 9 comes 8, after 8 comes 7 …: notebook 09's model."""
    return torch.nn.functional.one_hot((tokens - 1).clamp(min=0), VOCAB).float()


def run(prompts, max_gen_len=8, sampling=GREEDY, forward=countdown, **more):
    return list(steps(forward, prompts, max_gen_len, sampling, **{"max_seq_len": 16, "stop_ids": [EOS], **more}))


def test_a_countdown_is_written_column_by_column():
    taken = run([[1, 9], [1, 5, 4], [1, 6, 8, 9]])
    assert [(s.prev_pos, s.cur_pos) for s in taken] == [(0, 2), *((c, c + 1) for c in range(2, len(taken) + 1))]
    assert [s.next_token.tolist() for s in taken[:3]] == [[8, 4, 8], [7, 3, 9], [6, 2, 8]]
    assert taken[-1].tokens.tolist()[2] == [1, 6, 8, 9, 8, 7, 6, 5, 4, 3, 2, -1]
    assert taken[-1].eos_reached.all() and not taken[-2].eos_reached.all()


def test_forward_is_handed_every_column_once():
    calls = []

    def watched(tokens, start_pos):
        calls.append((start_pos, tokens.tolist()))
        return countdown(tokens, start_pos)

    run([[1, 5], [1, 6, 4]], forward=watched)
    assert calls == [(0, [[1, 5], [1, 6]]), (2, [[4], [4]]), (3, [[3], [3]])]


@pytest.mark.parametrize("stop_ids", [[2], [6, 2], [2, 6], [6, 5]])
def test_any_of_the_stop_ids_ends_a_row(stop_ids):
    (row,) = run([[1, 9]], stop_ids=stop_ids)[-1].tokens.tolist()
    first = max(stop_ids)
    assert row[:-1].count(-1) == row.count(-1) - 1 and [i for i in row if i != -1][-1] == first


def test_a_stop_id_inside_a_prompt_ends_nothing():
    assert [s.eos_reached.tolist() for s in run([[1, 5], [1, 4, 2, 2, 4]])[:3]] == [[False, False]] * 2 + [
        [True, False]
    ]


def test_the_canvas_ends_where_the_context_does():
    assert [s.cur_pos for s in run([[1, 9]], max_seq_len=5, stop_ids=[])] == [2, 3, 4]
    assert run([[1, 9]], max_gen_len=0) == []


def test_the_loop_asks_all_ended_and_agree():
    seen = []
    all_ended = lambda eos_reached: seen.append(eos_reached.tolist()) or len(seen) == 2  # noqa: E731
    taken = run([[1, 9]], all_ended=all_ended, agree=lambda next_token: next_token * 0 + 7)
    assert len(taken) == 2 and taken[-1].tokens[0, :4].tolist() == [1, 9, 7, 7]


def test_a_row_draws_with_its_own_seed_and_only_after_its_prompt():
    flat = lambda tokens, start_pos: torch.zeros(*tokens.shape, VOCAB)  # noqa: E731
    hot = Sampling(temperature=1.0, top_p=1.0)
    together = run([[1], [1, 5, 5, 5]], 6, hot, flat, seeds=[3, 4], stop_ids=[])[-1].tokens
    for k, prompt in enumerate(([1], [1, 5, 5, 5])):
        alone = run([prompt], 6, hot, flat, seeds=[3 + k], stop_ids=[])[-1].tokens[0]
        assert together[k, : len(alone)].tolist() == alone.tolist()


def test_a_canvas_of_prompts():
    assert canvas([[1, 9], [1, 5, 4]], 4, -1).tolist() == [[1, 9, -1, -1], [1, 5, 4, -1]]


# ---- the same loop under a Llama -----------------------------------------------------------------------------------


def test_loop_and_results_agree_about_the_end(reciter, letters):
    """A second id that ends an answer, as chat models have: the loop, the collector and the stream all stop there."""
    tokenizer = letters(24)
    tokenizer.stop_ids = (EOS, 7)
    llama = reciter(tokenizer, [5, 6, 7, 8, 9, 10])
    assert llama.generate([[1]], 20, temperature=0)[0] == [[5, 6]]
    taken = list(llama.generate_steps([[1]], 20, temperature=0))
    assert len(taken) == 3 and taken[-1].eos_reached.all()
    assert llama.text_completion([""], temperature=0)[0]["finish_reason"] == "stop"
    assert "".join(llama.stream("", temperature=0)) == llama.text_completion([""], temperature=0)[0]["generation"]


def test_logits_of_texts_are_those_of_a_forward(llama, without_cache):
    texts = ["Once upon a time", "小猫"]
    ids = [llama.tokenizer.encode(text, bos=True, eos=False) for text in texts]
    logits = llama.logits(texts)
    assert logits.shape == (2, max(map(len, ids)), llama.tokenizer.n_words) and logits.dtype == torch.float32
    plain = without_cache(llama.model)
    for k, row in enumerate(ids):
        with torch.no_grad():
            torch.testing.assert_close(logits[k, : len(row)], plain(torch.tensor([row]), 0)[0], rtol=0, atol=1e-4)
    assert torch.equal(llama.logits(ids), logits)


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ("Once", TypeError, r"prompts_or_tokens must be a list of str, got the bare str 'Once'; write \['Once'\]"),
        ([], ValueError, "prompts_or_tokens is empty"),
        ([[]], ValueError, r"prompts_or_tokens\[0\] is empty"),
        ([5, 6], TypeError, r"prompts_or_tokens\[0\] is 5; write \[\[...\]\]"),
        (["a", 5], TypeError, r"prompts_or_tokens\[1\] must be a str"),
        ([[1, -1]], ValueError, r"token id in prompts_or_tokens\[0\] must be a whole number from 0 to"),
        ([[1] * 97], ValueError, r"prompts_or_tokens\[0\] has 97 tokens, but max_seq_len is 96;"),
        ([[1]] * 9, ValueError, "prompts_or_tokens has 9 prompts to run, but max_batch_size is 4"),
    ],
)
def test_logits_of_what_is_no_text(llama, wrong, error, words):
    with pytest.raises(error, match=words):
        llama.logits(wrong)


def test_scores_of_a_heat_map_take_the_cache_over_as_a_run_does(fresh_llama):
    older = fresh_llama.generate_steps([[1, 5]], 9, temperature=0)
    next(older)
    fresh_llama.logits([[1, 6, 7]])
    with pytest.raises(CacheTaken):
        next(older)
    held, lock = [], _locks[fresh_llama.model]
    handle = fresh_llama.model.register_forward_pre_hook(lambda *_: held.append(lock.locked()))
    score(fresh_llama, "Once", max_gen_len=2)
    handle.remove()
    assert len(held) > 2 and all(held), "a forward ran outside the guard"


# ---- settings ------------------------------------------------------------------------------------------------------


def test_settings_are_judged_once_and_cannot_change():
    import numpy as np

    made = Sampling(np.float32(0.5), np.float64(0.75), np.int64(3), np.float16(0.25))
    assert (made.temperature, made.top_p, made.top_k, made.min_p) == (0.5, 0.75, 3, 0.25)
    assert [type(each) for each in (made.temperature, made.top_p, made.top_k, made.min_p)] == [float, float, int, float]
    with pytest.raises(AttributeError):
        made.top_p = 2
    for wrong in ({"temperature": -1}, {"temperature": 10**400}, {"top_p": 1.5}, {"top_k": 0}, {"min_p": 2}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Sampling(**wrong)
    with pytest.raises(TypeError, match="top_k"):
        Sampling(top_k=2.5)


def test_the_defaults_are_the_same_everywhere():
    import inspect

    for call in (Llama.generate, Llama.generate_steps, Llama.text_completion, Llama.chat_completion, Llama.stream):
        defaults = {name: p.default for name, p in inspect.signature(call).parameters.items()}
        assert {name: defaults[name] for name in vars(Sampling())} == vars(Sampling()), call
