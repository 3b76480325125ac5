"""A real model: SmolLM2-135M-Instruct in a GGUF file, against transformers reading the same file.

Skips where the file is not (`make real` fetches it), fails there if MINILLAMA_REQUIRE_REAL is set.
"""

import functools
import os

import gguf
import pytest
import torch

from minillama import Llama, smollm2
from minillama.chat import encode_dialog
from minillama.logprobs import token_logprobs
from tests import peers

pytestmark = pytest.mark.full
TEXT = (
    "The Eiffel Tower is a wrought-iron lattice tower in Paris, France. It is named after the engineer Gustave Eiffel, "
    "whose company designed and built the tower from 1887 to 1889."
)
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def path():
    found = smollm2.find()
    if found is None:
        message = f"SmolLM2 is not there; get it with: {smollm2.HOW}"
        pytest.fail(message) if os.environ.get("MINILLAMA_REQUIRE_REAL") else pytest.skip(message)
    return found


@pytest.fixture(scope="module")
def llama(path):
    return Llama.build(path, device="cpu", max_seq_len=512, max_batch_size=2)


@pytest.fixture(scope="module")
def peer(path):
    transformers = pytest.importorskip("transformers")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GGUFReader", "get_tensor_name_map"):  # called three and 397 times, for seconds
            patch.setattr(gguf, name, functools.cache(getattr(gguf, name)))
        return peers.from_gguf(path), transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)


def test_what_is_in_it(llama):
    args = llama.model.params
    assert (args.dim, args.n_layers, args.n_heads, args.n_kv_heads, args.vocab_size) == (576, 30, 9, 3, 49152)
    assert llama.model.output.weight.data_ptr() == llama.model.tok_embeddings.weight.data_ptr()
    assert llama.tokenizer.decode(llama.tokenizer.encode("你好, 123!", bos=True, eos=True)) == "你好, 123!"
    assert encode_dialog(llama.tokenizer, QUESTION)[-4:] == [1, 520, 9531, 198]


def test_chat(llama):
    answer = llama.chat_completion([QUESTION], temperature=0, max_gen_len=40)[0]
    assert "Paris" in answer["generation"]["content"] and answer["finish_reason"] == "stop"


def test_it_reads_well(llama):
    tokens = torch.tensor([llama.tokenizer.encode(TEXT, bos=True, eos=False)])
    with torch.no_grad():
        scores = token_logprobs(llama.model(tokens[:, :-1], 0), tokens[:, 1:])
    assert torch.exp(-scores.mean()) < 15


def test_logits_and_greedy_text_are_those_of_transformers(llama, peer):
    network, tokenizer = peer
    ids = llama.tokenizer.encode(TEXT, bos=True, eos=False)
    assert ids == tokenizer.encode(TEXT, add_special_tokens=False)
    dialog = encode_dialog(llama.tokenizer, QUESTION)
    assert dialog == tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, return_dict=False)
    with torch.no_grad():
        torch.testing.assert_close(llama.model(torch.tensor([ids]), 0), network(torch.tensor([ids])).logits, rtol=0,
                                   atol=3e-4)  # fmt: skip
    for row in (ids, dialog):
        ours = llama.generate([row], 24, temperature=0)[0][0]
        theirs = network.generate(torch.tensor([row]), attention_mask=torch.ones(1, len(row)), do_sample=False,
                                  max_new_tokens=24, pad_token_id=2)[0, len(row) :].tolist()  # fmt: skip
        assert ours == [i for i in theirs if i != llama.tokenizer.eos_id]
