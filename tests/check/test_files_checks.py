"""The judges of the exercises on checkpoint files."""

import json
from collections import Counter

import pytest
import torch

from minillama import COURSE_MODEL, ModelArgs, Transformer, check
from minillama.check import judge as judging


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A busy machine is no endless loop."""
    monkeypatch.setattr(judging, "TIME_LIMIT", 120.0)


def failed(report, hint):
    assert report.status == "failed"
    assert hint in report.hint, str(report)
    assert not report.cases[-1].passed and all(case.passed for case in report.cases[:-1])


def each_has_its_own_hint(judge, mistakes):
    repeated = [hint for hint, n in Counter(judge(wrong).hint for wrong, _ in mistakes.values()).items() if n > 1]
    assert repeated == []


# ---- read_params -----------------------------------------------------------------------------------------------------


def right_read_params(path):
    with open(path, encoding="utf-8") as f:
        return ModelArgs(**json.load(f))


def reads_at_once(path):
    return ModelArgs(**json.loads(path.read_text(encoding="utf-8")))


def never_closes(path):
    f = open(path)
    return ModelArgs(**json.load(f))


def closes_at_the_end(path):
    f = open(path)
    fields = json.load(f)
    f.close()
    return ModelArgs(**fields)


def swallows(path):
    with open(path) as f:
        try:
            return ModelArgs(**json.load(f))
        except ValueError:
            return None


def falls_back(path):
    with open(path) as f:
        try:
            return ModelArgs(**json.load(f))
        except ValueError:
            return ModelArgs()


def spreads_nothing(path):
    with open(path) as f:
        return ModelArgs(json.load(f))


def takes_a_str(path):
    with open(path) as f:
        return ModelArgs(**json.loads(f))


def returns_a_dict(path):
    with open(path) as f:
        return json.load(f)


def one_key_each(path):
    with open(path) as f:
        x = json.load(f)
    return ModelArgs(dim=x["dim"], n_layers=x["n_layers"], n_heads=x["n_heads"], n_kv_heads=x["n_kv_heads"])


def every_key_must_be_there(path):
    with open(path) as f:
        x = json.load(f)
    names = ("dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "hidden_dim", "max_seq_len")
    return ModelArgs(**{name: x[name] for name in names})


def always_the_course_model(path):
    return right_read_params(COURSE_MODEL / "params.json")


def reads_after_closing(path):
    with open(path) as f:
        pass
    return ModelArgs(**json.load(f))


READ_MISTAKES = {
    "never closes": (never_closes, "still open"),
    "closes if all goes well": (closes_at_the_end, "comes before your close()"),
    "swallows the exception": (swallows, "returned None"),
    "falls back on the defaults": (falls_back, "returned ModelArgs"),
    "no stars": (spreads_nothing, "ModelArgs(**fields)"),
    "loads for load": (takes_a_str, "json.load(f)"),
    "a dict": (returns_a_dict, "returned dict"),
    "not every key": (one_key_each, "vocab_size should be"),
    "every key demanded": (every_key_must_be_there, "Keys may be left out"),
    "always the course model": (always_the_course_model, "course model's sizes"),
    "reads a closed file": (reads_after_closing, "closed file"),
    "no return": (lambda path: None, "returned NoneType"),
}


@pytest.mark.parametrize("name", READ_MISTAKES)
def test_read_params_understands(name):
    failed(check.read_params(READ_MISTAKES[name][0]), READ_MISTAKES[name][1])


def test_every_mistake_of_reading_has_its_own_hint():
    each_has_its_own_hint(check.read_params, READ_MISTAKES)


@pytest.mark.parametrize("function", [right_read_params, reads_at_once])
def test_right_readers_pass(function):
    report = check.read_params(function)
    assert report.status == "passed", str(report)


# ---- count_parameters ------------------------------------------------------------------------------------------------


def counted(args, kv=None, matrices=3, norms=2, last=True, tables=2, layers=None, attention=2, width=None):
    kv = args.n_kv_heads if kv is None else kv
    layer = attention * args.dim**2 + 2 * args.dim * kv * args.head_dim
    layer += matrices * args.dim * (width or args.ffn_width()) + norms * args.dim
    return tables * args.vocab_size * args.dim + (layers or args.n_layers) * layer + last * args.dim


COUNT_MISTAKES = {
    "no groups": (lambda a: counted(a, kv=a.n_heads), "n_kv_heads * head_dim"),
    "two feed-forward matrices": (lambda a: counted(a, matrices=2), "three matrices"),
    "no norms": (lambda a: counted(a, norms=0, last=False), "norms have weights"),
    "no norms in the layers": (lambda a: counted(a, norms=0), "a layer have weights"),
    "one norm a layer": (lambda a: counted(a, norms=1), "two norms"),
    "no last norm": (lambda a: counted(a, last=False), "after all layers"),
    "one table": (lambda a: counted(a, tables=1), "a matrix of its own"),
    "no tables": (lambda a: counted(a, tables=0), "embedding and the output layer are missing"),
    "one layer": (lambda a: counted(a, layers=1), "one layer"),
    "no wo": (lambda a: counted(a, attention=1), "four matrices"),
    "hidden_dim may be None": (lambda a: counted(a) + 0 * a.hidden_dim, "hidden_dim is None"),
    "four times dim": (lambda a: counted(a, width=a.hidden_dim or 4 * a.dim), "args.ffn_width() wide"),
    "not rounded up": (lambda a: counted(a, width=a.hidden_dim or int(8 * a.dim / 3)), "rounded up"),
    "a float": (lambda a: counted(a) / 1, "float"),
    "no return": (lambda a: None, "return"),
    "something else": (lambda a: counted(a) + 7, "+7"),
}


@pytest.mark.parametrize("name", COUNT_MISTAKES)
def test_count_parameters_understands(name):
    wrong, hint = COUNT_MISTAKES[name]
    failed(check.count_parameters(wrong), hint)


def test_every_mistake_of_counting_has_its_own_hint():
    each_has_its_own_hint(check.count_parameters, COUNT_MISTAKES)


@pytest.mark.parametrize("sizes", [{"hidden_dim": 24}, {"n_kv_heads": 2, "ffn_dim_multiplier": 1.3, "multiple_of": 8}])
def test_the_formula_counts_what_a_transformer_has(sizes):
    args = ModelArgs(dim=16, n_layers=3, n_heads=4, vocab_size=10, **sizes)
    with torch.device("meta"):
        model = Transformer(args)
    assert counted(args) == sum(weight.numel() for weight in model.parameters())


def test_the_right_count_passes():
    report = check.count_parameters(counted)
    assert report.status == "passed", str(report)


# ---- load_model ------------------------------------------------------------------------------------------------------


def read(path, safe=True):
    return torch.load(path, map_location="cpu", weights_only=safe)


def right_load(args, path):
    weights = read(path)
    weights.pop("rope.freqs", None)
    model = Transformer(args)
    model.load_state_dict(weights, strict=True)
    return model


def on_meta(args, path, assign=True):
    weights = torch.load(path, mmap=True, weights_only=True)
    weights = {key: tensor for key, tensor in weights.items() if key != "rope.freqs"}
    with torch.device("meta"):
        model = Transformer(args)
    model.load_state_dict(weights, assign=assign)
    return model


def not_strict(args, path):
    model = Transformer(args)
    model.load_state_dict(read(path), strict=False)
    return model


def demands_rope(args, path):
    weights = torch.load(path, weights_only=True)
    del weights["rope.freqs"]
    model = Transformer(args)
    model.load_state_dict(weights)
    return model


def keeps_rope(args, path):
    model = Transformer(args)
    model.load_state_dict(read(path))
    return model


def only_known_keys(args, path):
    model = Transformer(args)
    due = model.state_dict()
    model.load_state_dict({key: tensor for key, tensor in read(path).items() if key in due})
    return model


def fills_up(args, path):
    model = Transformer(args)
    weights, due = read(path), model.state_dict()
    model.load_state_dict({key: weights.get(key, due[key]) for key in due}, strict=True)
    return model


def unsafe(args, path):
    weights = read(path, safe=False)
    weights.pop("rope.freqs", None)
    model = Transformer(args)
    model.load_state_dict(weights)
    return model


def never_loads(args, path):
    read(path)
    return Transformer(args)


def returns_the_keys(args, path):
    return Transformer(args).load_state_dict(read(path))


LOAD_MISTAKES = {
    "strict=False": (not_strict, "with which numbers"),
    "rope.freqs left in": (keeps_rope, "Take this one key out"),
    "rope.freqs demanded": (demands_rope, "only if it is there"),
    "drops what it does not know": (only_known_keys, "a layer more"),
    "weights_only=False": (unsafe, "weights_only=True"),
    "never loads": (never_loads, "does not hold the file's numbers"),
    "the result of load_state_dict": (returns_the_keys, "keys that did not fit. Return the model"),
    "no numbers": (lambda args, path: on_meta(args, path, assign=False), "assign=True"),
    "no return": (lambda args, path: None, "NoneType"),
}


@pytest.mark.filterwarnings("ignore:for .*meta parameter")
@pytest.mark.parametrize("name", LOAD_MISTAKES)
def test_load_model_understands(name):
    failed(check.load_model(LOAD_MISTAKES[name][0]), LOAD_MISTAKES[name][1])


@pytest.mark.filterwarnings("ignore:for .*meta parameter")
def test_every_mistake_of_loading_has_its_own_hint():
    each_has_its_own_hint(check.load_model, LOAD_MISTAKES)


def test_filling_up_from_the_model_defeats_strict():
    failed(check.load_model(fills_up), "with which numbers")


@pytest.mark.parametrize("function", [right_load, on_meta])
def test_right_loaders_pass(function):
    report = check.load_model(function)
    assert report.status == "passed", str(report)


# ---- all three -------------------------------------------------------------------------------------------------------


def stub(*_):
    raise NotImplementedError


@pytest.mark.parametrize("judge", [check.read_params, check.count_parameters, check.load_model])
@pytest.mark.parametrize("function", [stub, lambda *_: ...])
def test_a_stub_is_not_attempted(judge, function):
    assert judge(function).status == "not attempted"


@pytest.mark.parametrize("judge", [check.read_params, check.count_parameters, check.load_model])
def test_what_raises_is_reported(judge):
    def wrong(*_):
        raise IndexError("<b>")

    report = judge(wrong)
    assert "IndexError" in report.hint and "<b>" not in report._repr_html_().replace("<b><span", "")
