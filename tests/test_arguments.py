"""Bad input: each mistake is named, with what was given and what to do instead, and changes nothing."""

import math

import pytest
import torch

from minillama import Llama, calls

LIMIT, NAN, INF = 16, math.nan, math.inf
USER = {"role": "user", "content": "Hi"}
ANSWER = {"role": "assistant", "content": "Hello"}
SYSTEM = {"role": "system", "content": "Be kind."}
LONG, TINY, UNSAFE = "x" * 99, [USER | {"content": ""}], [USER | {"content": "[INST]"}]


@pytest.fixture(scope="module")
def make(random_llama, tokenizer):
    model = random_llama(2, tokenizer=tokenizer, max_batch_size=4, max_seq_len=LIMIT).model
    return lambda: Llama(model, tokenizer)


@pytest.fixture(scope="module")
def untouched(make):
    """What the next two runs of an untouched Llama give, without a seed."""
    return after(make())


def after(llama):
    hot = {"temperature": 3.0, "top_p": 1.0}
    return [llama.generate([[1, 300], [1, 301, 302]], 6, logprobs=True, **hot) for _ in range(2)]


@pytest.fixture
def refused(make, untouched):
    """refused(call, error, *words): call(llama) raises exactly `error`, its message has the words, nothing changes."""

    def check(call, error, *words):
        llama = make()
        running = llama.generate_steps([[1, 300]], 3, seed=0)
        next(running)
        with pytest.raises(error) as caught:
            call(llama)
        assert type(caught.value) is error
        for word in words:
            assert word in str(caught.value), f"{word!r} is missing in {str(caught.value)!r}"
        assert next(running).cur_pos == 3, "a run under way was disturbed"
        assert after(llama) == untouched

    return check


def case(name, call, error, *words):
    return pytest.param(call, error, words, id=name)


# ---- prompts -------------------------------------------------------------------------------------------------------

WRONG_PROMPTS = [
    case("str-generate", lambda m: m.generate("hello", 3), TypeError, "prompt_tokens", "bare str 'hello'"),
    case("str-text", lambda m: m.text_completion("Hi"), TypeError, "prompts", "bare str 'Hi'", "write ['Hi']"),
    case("str-chat", lambda m: m.chat_completion("Hi"), TypeError, "dialogs", "list of dialogs", "bare str 'Hi'"),
    case("one-dialog", lambda m: m.chat_completion([USER]), TypeError, "dialogs", "got one dialog; write [dialog]"),
    case("str-row", lambda m: m.generate(["hello"], 3), TypeError, "prompt_tokens[0]", "token ids", "'hello'"),
    case("flat", lambda m: m.generate([1, 5], 3), TypeError, "prompt_tokens[0] is 1", "write [[...]]"),
    case("tensor", lambda m: m.generate(torch.tensor([[1]]), 3), TypeError, "prompt_tokens", "list", "got Tensor"),
    case("none", lambda m: m.text_completion(None), TypeError, "prompts", "list of str", "NoneType"),
    case("dict", lambda m: m.chat_completion(USER), TypeError, "dialogs", "list of dialogs", "got dict"),
    case("generator", lambda m: m.text_completion(t for t in "ab"), TypeError, "prompts", "got generator"),
    case("empty-generate", lambda m: m.generate([], 3), ValueError, "prompt_tokens is empty", "non-empty list"),
    case("empty-text", lambda m: m.text_completion([]), ValueError, "prompts is empty", "non-empty list"),
    case("empty-chat", lambda m: m.chat_completion([]), ValueError, "dialogs is empty", "non-empty list"),
    case("empty-row", lambda m: m.generate([[1], []], 3), ValueError, "prompt_tokens[1] is empty", "non-empty list"),
    case(
        "empty-dialog", lambda m: m.chat_completion([[USER], []]), ValueError, "dialogs[1] is empty", "non-empty list"
    ),
    case("empty-stream", lambda m: m.stream([]), ValueError, "prompt_or_dialog is empty", "non-empty list"),
    case("number-stream", lambda m: m.stream(5), TypeError, "prompt_or_dialog", "got int"),
    case("number-text", lambda m: m.text_completion(["a", 5]), TypeError, "prompts[1]", "a str", "int 5"),
    case("bytes-text", lambda m: m.text_completion([b"a"]), TypeError, "prompts[0]", "a str", "bytes b'a'"),
    case("id-high", lambda m: m.generate([[1], [1, 400]], 3), ValueError, "prompt_tokens[1]", "0 to 399", "got 400"),
    case("id-low", lambda m: m.generate([[1, -1]], 3), ValueError, "prompt_tokens[0]", "0 to 399", "got -1"),
    case("id-float", lambda m: m.generate([[1, 2.0]], 3), TypeError, "prompt_tokens[0]", "whole number", "float 2.0"),
    case("id-bool", lambda m: m.generate([[1, True]], 3), TypeError, "prompt_tokens[0]", "whole number", "bool True"),
    case("id-str", lambda m: m.generate([[1, "a"]], 3), TypeError, "prompt_tokens[0]", "whole number", "str 'a'"),
    case(
        "long",
        lambda m: m.generate([[1], [1] * LIMIT], 1),
        ValueError,
        *("prompt_tokens[1] has 16 tokens", "max_seq_len is 16", "one place must be left", "shorten", "Llama.build("),
    ),
    case(
        "longer",
        lambda m: m.generate([[1] * (LIMIT + 1)], 0, logprobs=True, echo=True),
        ValueError,
        *("prompt_tokens[0] has 17 tokens", "max_seq_len is 16", "shorten", "Llama.build("),
    ),
    case("long-text", lambda m: m.text_completion(["a", LONG]), ValueError, "prompts[1] has", "max_seq_len is 16"),
    case("long-chat", lambda m: m.chat_completion([TINY, [USER | {"content": LONG}]]), ValueError, "dialogs[1] has"),
    case(
        "long-chat-behind-a-refused-one",
        lambda m: m.chat_completion([TINY, UNSAFE, [USER | {"content": LONG}]]),
        ValueError,
        *("dialogs[2] has", "max_seq_len is 16", "shorten"),
    ),
    case("long-stream", lambda m: m.stream(LONG), ValueError, "prompt_or_dialog has", "max_seq_len is 16", "shorten"),
    case("long-stream-chat", lambda m: m.stream([USER | {"content": LONG}]), ValueError, "prompt_or_dialog has"),
    case(
        "batch",
        lambda m: m.generate([[1]] * 5, 3),
        ValueError,
        *("prompt_tokens has 5 prompts", "max_batch_size is 4", "pass fewer", "Llama.build(..., max_batch_size=5)"),
    ),
    case("batch-text", lambda m: m.text_completion(["a"] * 5), ValueError, "prompts has 5 prompts", "max_batch_size=5"),
    case("batch-chat", lambda m: m.chat_completion([UNSAFE, *[TINY] * 5]), ValueError, "dialogs has 5 prompts to run"),
]


@pytest.mark.parametrize(("call", "error", "words"), WRONG_PROMPTS)
def test_prompts(refused, call, error, words):
    refused(call, error, *words)


@pytest.mark.parametrize(
    "call",
    [lambda m: m.generate("Hi", 3), lambda m: m.generate(["Hi"], 3), lambda m: m.chat_completion("Hi")],
    ids=["prompt_tokens", "row", "dialogs"],
)
def test_no_str_is_advised_where_none_is_allowed(make, call):
    with pytest.raises(TypeError) as caught:
        call(make())
    assert "write ['Hi']" not in str(caught.value)


SURROGATE = "ab\ud83e"


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda m: m.text_completion(["fine", SURROGATE]), "prompts[1]"),
        (lambda m: m.stream(SURROGATE), "prompt_or_dialog"),
        (lambda m: m.chat_completion([[USER], [USER | {"content": SURROGATE}]]), "dialogs[1][0]"),
        (lambda m: m.chat_completion([[SYSTEM | {"content": SURROGATE}, USER]]), "dialogs[0][0]"),
        (lambda m: m.stream([USER, ANSWER, USER | {"content": SURROGATE}]), "prompt_or_dialog[2]"),
        (lambda m: m.text_completion(["fine"], stop=SURROGATE), "stop"),
        (lambda m: m.text_completion(["fine"], stop=["x", SURROGATE]), "stop"),
        (lambda m: m.chat_completion([[USER | {"content": ""}]], stop=SURROGATE), "stop"),
        (lambda m: m.stream("fine", stop=SURROGATE), "stop"),
        (lambda m: m.generate([[1, 5]], 3, stop=SURROGATE), "stop"),
    ],
    ids=[
        "text",
        "stream",
        "chat",
        "system",
        "stream-chat",
        "stop",
        "stops",
        "chat-stop",
        "stream-stop",
        "generate-stop",
    ],
)
def test_a_lone_surrogate(refused, call, name):
    refused(call, ValueError, "lone surrogate", name)


def test_the_limits_themselves_are_allowed(make):
    llama = make()
    tokens, _ = llama.generate([[1] * (LIMIT - 1)] * 4, 99, temperature=0)
    assert len(tokens) == 4 and all(len(row) <= 1 for row in tokens)
    assert llama.generate([[1] * LIMIT], 0, logprobs=True, echo=True)[0] == [[1] * LIMIT]
    for edge in (0, 399):
        llama.generate([[edge]], 1, temperature=0)
    llama.generate(((1, 5), (1,)), 2, temperature=0)  # tuples do as well as lists


# ---- what steers the sampling --------------------------------------------------------------------------------------

WRONG_NUMBERS = [
    *(case(f"temperature{v}", {"temperature": v}, ValueError, repr(v)) for v in (-1, -1e-9, NAN, INF, -INF)),
    *(case(f"temperature{v!r}", {"temperature": v}, TypeError, repr(v)) for v in ("hot", None, True, [1.0])),
    *(case(f"top_p{v}", {"top_p": v}, ValueError, "from 0 to 1", repr(v)) for v in (-0.1, 1.0001, NAN, INF)),
    *(case(f"top_p{v!r}", {"top_p": v}, TypeError, "from 0 to 1", repr(v)) for v in ("0.9", None, True)),
    *(case(f"top_k{v}", {"top_k": v}, ValueError, "at least 1", str(v)) for v in (0, -1)),
    *(case(f"top_k{v!r}", {"top_k": v}, TypeError, "at least 1", repr(v)) for v in (1.5, 2.0, "2", True)),
    *(case(f"min_p{v}", {"min_p": v}, ValueError, "from 0 to 1", repr(v)) for v in (-0.1, 1.5, NAN)),
    *(case(f"min_p{v!r}", {"min_p": v}, TypeError, "from 0 to 1", repr(v)) for v in ("0.1", True)),
    *(case(f"max_gen_len{v}", {"max_gen_len": v}, ValueError, "at least 0", str(v)) for v in (-1, -100)),
    *(case(f"max_gen_len{v!r}", {"max_gen_len": v}, TypeError, "at least 0", repr(v)) for v in (1.5, "3", True)),
    *(case(f"seed{v}", {"seed": v}, ValueError, str(v)) for v in (-1, 2**63, 2**64)),
    *(case(f"seed{v!r}", {"seed": v}, TypeError, repr(v)) for v in (1.5, "1", True)),
    case("seed-few", {"seed": [1]}, ValueError, "length 1, but there are 2 rows", "one int, or one per row"),
    case("seed-many", {"seed": [1, 2, 3]}, ValueError, "length 3, but there are 2 rows", "one int, or one per row"),
    case("seed-none", {"seed": []}, ValueError, "length 0, but there are 2 rows", "one int, or one per row"),
    case("seed-in-list", {"seed": [1, -2]}, ValueError, "seed[1]", "-2"),
    case("seed-str-in-list", {"seed": ["a", 1]}, TypeError, "seed[0]", "'a'"),
    case("seed-float-in-list", {"seed": [1, 2.5]}, TypeError, "seed[1]", "2.5"),
]
CALLS = {
    "generate": lambda m, **k: m.generate([[1, 5], [1]], **{"max_gen_len": 3, **k}),
    "generate_steps": lambda m, **k: m.generate_steps([[1, 5], [1]], **{"max_gen_len": 3, **k}),
    "text_completion": lambda m, **k: m.text_completion(["a", "b"], **k),
    "chat_completion": lambda m, **k: m.chat_completion([[{"role": "user", "content": ""}]] * 2, **k),
}


@pytest.mark.parametrize(("wrong", "error", "words"), WRONG_NUMBERS)
@pytest.mark.parametrize("name", CALLS)
def test_sampling(refused, name, wrong, error, words):
    refused(lambda m: CALLS[name](m, **wrong), error, *wrong, *words)


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"top_p": 2}, {"top_k": 0}, {"min_p": 2}, {"max_gen_len": -1}])
@pytest.mark.parametrize("prompt", ["a", [USER | {"content": ""}]], ids=["text", "dialog"])
def test_a_stream_judges_before_it_is_read(refused, wrong, prompt):
    refused(lambda m: m.stream(prompt, **wrong), ValueError, *wrong)


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"top_p": 2}, {"max_gen_len": -1}, {"seed": -1}, {"stop": ""}])
def test_a_refused_dialog_excuses_nothing(refused, wrong):
    unsafe = [USER | {"content": "[INST]"}]
    refused(lambda m: m.chat_completion([unsafe], **wrong), ValueError, *wrong)
    refused(lambda m: m.stream(unsafe, **wrong), ValueError, *wrong)


@pytest.mark.parametrize(
    ("stop", "error", "words"),
    [
        ("", ValueError, ["empty str", "remove it"]),
        (["a", ""], ValueError, ["empty str", "remove it"]),
        (None, TypeError, ["a str or a list of str", "None"]),
        (5, TypeError, ["a str or a list of str", "5"]),
        (b"x", TypeError, ["a str or a list of str", "b'x'"]),
        (["a", 5], TypeError, ["a str or a list of str", "['a', 5]"]),
    ],
)
@pytest.mark.parametrize("name", ["generate", "text_completion", "chat_completion"])
def test_stop(refused, name, stop, error, words):
    refused(lambda m: CALLS[name](m, stop=stop), error, "stop", *words)


def test_ends_of_the_allowed_are_allowed(make):
    llama = make()
    for allowed in (
        {"temperature": 0}, {"temperature": 1e-300}, {"temperature": 1e300}, {"top_p": 0}, {"top_p": 1}, {"top_k": 1},
        {"top_k": 10**9}, {"min_p": 0}, {"min_p": 1}, {"max_gen_len": 0}, {"max_gen_len": 10**9}, {"seed": 0},
        {"seed": [0, 2**63 - 1]}, {"seed": (1, 1)}, {"stop": []}, {"stop": ()}, {"stop": ["a"]}, {"seed": None},
        {"top_k": None, "min_p": None},
    ):  # fmt: skip
        CALLS["generate"](llama, **allowed)


# ---- dialogs -------------------------------------------------------------------------------------------------------

WRONG_DIALOGS = [
    case("answer-first", [ANSWER, USER], ValueError, "roles", "assistant alternating", "['assistant', 'user']"),
    case("two-users", [USER, USER], ValueError, "roles", "alternating", "['user', 'user']"),
    case("two-answers", [USER, ANSWER, ANSWER], ValueError, "roles", "alternating"),
    case("late-system", [USER, SYSTEM, USER], ValueError, "roles", "optional system, then user", "'system'"),
    case("two-systems", [SYSTEM, SYSTEM, USER], ValueError, "roles", "optional system, then user", "'system'"),
    case("answered", [USER, ANSWER], ValueError, "last message", "the user's", "'assistant'", "add a user message"),
    case("system-alone", [SYSTEM], ValueError, "last message", "the user's", "'system'", "add a user message"),
    case("system-answer", [SYSTEM, ANSWER], ValueError, "roles", "['system', 'assistant']"),
    case("no-role", [{"content": "Hi"}], ValueError, "[0]", "keys 'role' and 'content'", "{'content': 'Hi'}"),
    case("no-content", [USER, ANSWER, {"role": "user"}], ValueError, "[2]", "keys 'role' and 'content'"),
    case("a-str", ["Hi"], ValueError, "[0]", "a dict with the keys", "'Hi'"),
    case("a-pair", [("user", "Hi")], ValueError, "[0]", "a dict with the keys", "('user', 'Hi')"),
    case("role", [{"role": "human", "content": "Hi"}], ValueError, "[0]['role']", "'user'", "got 'human'"),
    case("role-none", [{"role": None, "content": "Hi"}], ValueError, "[0]['role']", "'user'", "got None"),
    case("role-list", [{"role": ["user"], "content": "Hi"}], ValueError, "[0]['role']", "got ['user']"),
    case("content", [{"role": "user", "content": 5}], TypeError, "[0]['content']", "a str", "int 5"),
    case("content-none", [SYSTEM | {"content": None}, USER], TypeError, "[0]['content']", "a str", "NoneType None"),
    case("content-bytes", [USER | {"content": b"Hi"}], TypeError, "[0]['content']", "a str", "bytes b'Hi'"),
]


@pytest.mark.parametrize(("dialog", "error", "words"), WRONG_DIALOGS)
def test_dialogs(refused, dialog, error, words):
    def named(name):
        return [name + word if word.startswith("[0]") else word for word in words]

    fine = [USER | {"content": ""}]
    refused(lambda m: m.chat_completion([dialog]), error, *named("dialogs[0]"))
    refused(lambda m: m.chat_completion([fine, dialog]), error, *named("dialogs[1]"))
    refused(lambda m: m.stream(dialog), error, *named("prompt_or_dialog"))


# ---- build ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        case("ckpt_dir", {"ckpt_dir": 5}, TypeError, "a path", "int 5"),
        case("ckpt_dir-none", {"ckpt_dir": None}, TypeError, "a path", "NoneType None"),
        case("tokenizer_path", {"tokenizer_path": 5}, TypeError, "a path", "int 5"),
        case("max_seq_len", {"max_seq_len": 0}, ValueError, "at least 1", "got 0"),
        case("max_seq_len-float", {"max_seq_len": 16.0}, TypeError, "at least 1", "float 16.0"),
        case("max_batch_size", {"max_batch_size": 0}, ValueError, "at least 1", "got 0"),
        case("max_batch_size-none", {"max_batch_size": None}, TypeError, "at least 1", "None"),
        case("seed", {"seed": -1}, ValueError, "got -1"),
        case("seed-none", {"seed": None}, TypeError, "None"),
        case("seed-float", {"seed": 1.5}, TypeError, "float 1.5"),
        case("model_parallel_size", {"model_parallel_size": 2}, ValueError, "None or 1", "got 2"),
        case("device", {"device": "gpu"}, ValueError, "gpu"),
        case("dtype-str", {"dtype": "bfloat16"}, TypeError, "bfloat16"),
        case("dtype-int", {"dtype": torch.int8}, ValueError, "int8"),
    ],
)
def test_build(checkpoint, wrong, error, words):
    with pytest.raises(error) as caught:
        Llama.build(**{"ckpt_dir": checkpoint.folder, **wrong})
    assert type(caught.value) is error
    for word in (*wrong, *words):
        assert word in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_build_on_a_gpu_that_is_not_there(checkpoint):
    with pytest.raises(ValueError, match="device.*cuda"):
        Llama.build(checkpoint.folder, device="cuda")


def test_what_is_fine_comes_back_ready_to_use():
    assert calls.seeds(None, 3) is None
    assert calls.seeds(5, 3) == [5, 6, 7] and calls.seeds((1, 2), 2) == [1, 2]
    assert calls.stops("ab") == ["ab"] and calls.stops(("a", "b")) == ["a", "b"] and calls.stops(()) == []
