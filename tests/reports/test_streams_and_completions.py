"""The same prompt and seed give the same text, whichever call asks for it, and whatever else it asks for."""

import pytest
import torch

from minillama import Llama

CASES = [  # found by a search: each drew another text when log-probabilities were asked for
    ("éa", {"temperature": 1.0, "top_p": 0.99, "max_gen_len": 9, "seed": 925346, "stop": ["\n", "。"]}),
    ("é\n", {"temperature": 3.0, "top_p": 0.99, "max_gen_len": 11, "seed": 4063, "stop": ["a"]}),
    ("éa", {"temperature": 1.0, "top_p": 0.99, "max_gen_len": 11, "seed": 95747, "stop": ["a"]}),
]


@pytest.fixture(scope="module")
def course():
    return Llama.build(device="cpu", max_batch_size=1, max_seq_len=64)


@pytest.mark.parametrize(("prompt", "settings"), CASES)
def test_a_stream_is_the_completion_and_the_end_of_the_echo(course, prompt, settings):
    stream = "".join(course.stream(prompt, **settings))
    for logprobs in (False, True):
        (alone,) = course.text_completion([prompt], logprobs=logprobs, **settings)
        (echoed,) = course.text_completion([prompt], logprobs=logprobs, echo=True, **settings)
        assert (alone["generation"], echoed["generation"]) == (stream, prompt + stream)


def test_the_last_logits_are_the_same_with_and_without_the_others(random_llama):
    model = random_llama(4, vocab_size=200).model
    tokens = torch.randint(3, 200, (3, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model(tokens, 0)[:, -1:], model(tokens, 0, last_only=True))
