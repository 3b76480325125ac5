"""What users of such software reported of numbers: logits that are not finite, results that are not JSON, contexts that
a default had stood for."""

import json

import pytest
import torch

from minillama import Llama, Transformer
from minillama.checkpoint import read_params
from minillama.results import to_json
from minillama.widgets import show_logprobs

CALLS = {
    "greedy": lambda m: m.generate([[1, 5]], 3, temperature=0),
    "drawn": lambda m: m.generate([[1, 5]], 3, seed=1),
    "scored": lambda m: m.generate([[1, 5]], 0, logprobs=True, echo=True),
    "logits": lambda m: m.logits([[1, 5]]),
    "completion": lambda m: m.text_completion(["Once"], max_gen_len=3),
    "chat": lambda m: m.chat_completion([[{"role": "user", "content": "Hi"}]], max_gen_len=3),
    "stream": lambda m: list(m.stream("Once", max_gen_len=3)),
    "heat map": lambda m: show_logprobs(m, ["Once"]),
}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", CALLS)
def test_logits_that_are_not_finite_are_an_error(random_llama, tokenizer, name, value):
    llama = random_llama(3, tokenizer=tokenizer, max_seq_len=96)
    llama.model.norm.weight.data[0] = value
    with pytest.raises(ValueError, match="^dtype: the model's logits are not finite in float32: .*weights are damaged"):
        CALLS[name](llama)


def test_too_large_for_float16_says_what_to_do(random_llama, tokenizer):
    llama = random_llama(3, tokenizer=tokenizer, max_seq_len=96)
    for name in ("w2", "w3"):
        getattr(llama.model.layers[1].feed_forward, name).weight.data *= 3e4
    assert llama.generate([[1, 5]], 2, temperature=0)[0]
    model = Transformer(llama.model.params)
    model.load_state_dict(llama.model.state_dict())
    model.half().setup_cache(1, 32)
    with pytest.raises(ValueError, match="not finite in float16: .* build with dtype=torch.float32"):
        Llama(model, tokenizer).generate([[1, 5]], 2, temperature=0)


def test_a_prediction_as_json(llama):
    (prediction,) = llama.text_completion(["Once 猫"], max_gen_len=3, logprobs=True, echo=True, seed=1)
    assert all(isinstance(data, bytes) for data in prediction["token_bytes"])
    read = json.loads(json.dumps(to_json(prediction)))
    assert b"".join(map(bytes, read["token_bytes"])) == b"".join(prediction["token_bytes"])
    assert {key: read[key] for key in read if key != "token_bytes"} == {
        key: prediction[key] for key in prediction if key != "token_bytes"
    }
    (short,) = llama.text_completion(["Once"], max_gen_len=1, seed=1)
    assert json.loads(json.dumps(to_json(short))) == short


def test_params_of_llama_2_mean_a_context_of_4096(tmp_path):
    (tmp_path / "params.json").write_text(
        '{"dim": 32, "n_layers": 1, "n_heads": 4, "norm_eps": 1e-5, "vocab_size": -1}'
    )
    assert read_params(tmp_path).max_seq_len == 4096


def test_numbers_of_numpy_and_torch_are_numbers(llama):
    import numpy as np

    plain = llama.generate([[1, 5]], 6, temperature=0.5, top_p=0.75, top_k=9, min_p=0.125, seed=3)
    for kind in (np, torch):
        floats = [kind.tensor(x) if kind is torch else np.float32(x) for x in (0.5, 0.75, 0.125)]
        wholes = [kind.tensor(n) if kind is torch else np.int8(n) for n in (6, 9, 3)]
        got = llama.generate(
            [[1, 5]], wholes[0], floats[0], floats[1], top_k=wholes[1], min_p=floats[2], seed=wholes[2]
        )
        assert got == plain
    assert llama.generate([[1, 5]], np.int8(127), temperature=0) == llama.generate([[1, 5]], 127, temperature=0)
