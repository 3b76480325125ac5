"""What users of such software reported of chat formats: checkpoints without a template, templates that mean more than
their marks say, templates that do harm; against transformers' own reading of the same template."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tokenizers
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from minillama import Llama
from minillama.__main__ import main
from minillama.chat import UNSAFE_ERROR, encode_dialog, format_tags, has_special_tags, segment_dialog
from minillama.formats import in_format, sandbox
from minillama.formats.chat_templates import TEMPLATE, ChatML, NoChat, default_system, described, recognise, to_template
from minillama.formats.tokenizer_files import read_tokenizer
from minillama.widgets import ChatView, show_chat

TURNS = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NO_SYSTEM = "{% if messages[0]['role'] != 'system' %}"
LLAMA_2 = (  # of meta-llama/Llama-2-7b-chat-hf
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = "
    "messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
    "{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + "
    "'\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token + '\n' }}{% endfor %}"
    "{{ '<|assistant|>\n' }}"
)
SAME, OTHER = True, False  # whether the template means what its marks say
TEMPLATES = {
    "plain": (TURNS, SAME),
    "literal default": (NO_SYSTEM + "{{ '<|im_start|>system\nYou mill.<|im_end|>\n' }}{% endif %}" + TURNS, SAME),
    "bos first": ("{{ bos_token }}" + TURNS, OTHER),
    "default in a variable": ("{% set words = 'You mill.' %}" + NO_SYSTEM + "{{ '<|im_start|>system\n' + words + "
                              "'<|im_end|>\n' }}{% endif %}" + TURNS, OTHER),
    "default with an apostrophe": (NO_SYSTEM + "{{ \"<|im_start|>system\nYou're a miller.<|im_end|>\n\" }}{% endif %}"
                                   + TURNS, OTHER),
    "default with quotes": (NO_SYSTEM + "{{ '<|im_start|>system\nSay \"old\".<|im_end|>\n' }}{% endif %}" + TURNS,
                            OTHER),
    "content trimmed": (TURNS.replace("m['content']", "m['content'] | trim"), OTHER),
    "no newline between turns": (TURNS.replace("'<|im_end|>' + '\n'", "'<|im_end|>'"), OTHER),
    "another role name": (TURNS.replace("m['role']", "('human' if m['role'] == 'user' else m['role'])"), OTHER),
    "answer begun": (TURNS.replace("assistant\n'", "assistant\n<think>\n'"), OTHER),
    "thoughts cut out": (TURNS.replace("m['content']", "m['content'].split('Yes')[-1]"), OTHER),
    "Llama 2": (LLAMA_2, SAME),
    "Llama 2, own default": (
        "{% set s = messages[0]['content'] if messages[0]['role'] == 'system' else 'Be brief.' %}{{ bos_token + "
        "'[INST] <<SYS>>\n' + s + '\n<</SYS>>\n\n' + messages[-1]['content'] + ' [/INST]' }}", OTHER),
    "Llama 2, system stripped": (LLAMA_2.replace("+ system_message +", "+ system_message.strip() +"), OTHER),
    "Llama 2, no bos": (LLAMA_2.replace("bos_token + ", ""), OTHER),
    "marks in a comment": ("{# <|im_start|> <|im_end|> [INST] <<SYS>> #}" + ZEPHYR, OTHER),
    "of its own": (ZEPHYR, OTHER),
    "generation, loops, tojson": ("{%- for m in messages -%}\n    {%- if m.role == 'x' %}{% continue %}{% endif %}\n"
                                  "  {% generation %}{{ m.content | tojson }}{% endgeneration %}\n{%- endfor %}"
                                  "{{ strftime_now('%Y') }}{{ tools }}{{ unk_token }}|", OTHER),
}  # fmt: skip
DIALOGS = [
    [{"role": "user", "content": " Is it old? "}],
    [{"role": "system", "content": " Be 'kind'.\n"}, {"role": "user", "content": "Is it\n\nold?"},
     {"role": "assistant", "content": "  Yes. "}, {"role": "user", "content": "磨坊?"}],
]  # fmt: skip
SPECIAL = ("<|begin|>", "<|im_start|>", "<|im_end|>")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """tokenizer.json of byte-level BPE, without a template."""
    made, folder = tokenizers.Tokenizer(models.BPE()), tmp_path_factory.mktemp("bpe")
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=[*SPECIAL], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    made.train_from_iterator(["Once a fox sat by the old mill, user and assistant too."] * 9, trainer)
    made.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": SPECIAL[0], "eos_token": SPECIAL[2]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def bpe(folder):
    return read_tokenizer(folder, -1, {})


@pytest.fixture(scope="module")
def theirs(folder):
    return transformers.AutoTokenizer.from_pretrained(folder)


def with_template(tokenizer, template):
    return tokenizer.with_format(recognise(template, tokenizer))


# ---- what a template means


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_gives_the_ids_that_it_gives_in_transformers(bpe, theirs, name):
    template, same = TEMPLATES[name]
    tokenizer = with_template(bpe, template)
    for dialog in DIALOGS:
        due = theirs.apply_chat_template(dialog, chat_template=template, add_generation_prompt=True, return_dict=False)
        assert encode_dialog(tokenizer, dialog) == due, theirs.decode(due)
    assert tokenizer.chat_format.is_known == same


def test_a_template_out_of_the_files_of_a_folder(folder, theirs, tmp_path):
    """In tokenizer_config.json, one of several there, in a file of its own; as settings name the special tokens."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    odd = [{"name": ["default"], "template": "x"}, {"name": "tool_use", "template": "y"}, 3, {}]
    for stored in (TURNS, [*odd, {"name": "default", "template": TURNS}]):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": stored}))
        assert read_tokenizer(tmp_path, -1, {}).chat_format.template == TURNS
    (tmp_path / TEMPLATE).write_text("{{ bos_token }}|{{ unk_token }}|{{ messages[0].content }}")
    added = {"__type": "AddedToken", "content": SPECIAL[1], "special": True}
    for tokens in ({"unk_token": SPECIAL[1]}, {"bos_token": None}, {"bos_token": added}):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | tokens))
        due = transformers.AutoTokenizer.from_pretrained(tmp_path).apply_chat_template(
            DIALOGS[0], return_dict=False, add_generation_prompt=True
        )
        assert encode_dialog(read_tokenizer(tmp_path, -1, {"bos_token_id": 0}), DIALOGS[0]) == due, tokens


@pytest.fixture(scope="module")
def spaced(tmp_path_factory):
    """BPE with byte fallback, a space before the first word alone, and special tokens that swallow spaces."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"Isitold?MyUrseanH"]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    made = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=[], unk_token="<unk>", byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    made.normalizer = normalizers.Sequence([])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.add_special_tokens(["<unk>", "<s>", "</s>"])
    marks = [tokenizers.AddedToken(f"<|{role}|>", rstrip=True, special=True) for role in ("user", "system", "end")]
    made.add_special_tokens([*marks, tokenizers.AddedToken("<|assistant|>", lstrip=True, special=True)])
    folder = tmp_path_factory.mktemp("spaced")
    made.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names | {"tokenizer_class": "PreTrainedTokenizerFast"}))
    return read_tokenizer(folder, -1, {}), transformers.AutoTokenizer.from_pretrained(folder)


def test_special_tokens_that_swallow_spaces(spaced):
    template = (
        "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}\n <|assistant|>\n"
    )
    ours, theirs = with_template(spaced[0], template), spaced[1]
    assert ours.stop_ids == (2, ours.id_of("<|end|>")) and with_template(spaced[0], ZEPHYR).stop_ids == (2,)
    for dialog in DIALOGS:
        due = theirs.apply_chat_template(dialog, chat_template=template, return_dict=False)
        assert encode_dialog(ours, dialog) == due, theirs.convert_ids_to_tokens(due)
    labels = [(segment.label, "".join(ours.pieces(segment.ids))) for segment in segment_dialog(ours, DIALOGS[0])]
    assert labels == [("tag", "<|user|>"), ("user", "Is▁it▁old?▁"), ("eos", "<|end|>"), ("tag", "<|assistant|>")]


def test_a_template_with_a_sentencepiece_tokenizer(tokenizer, random_llama, tmp_path):
    """As transformers lays it out with the tokenizer.json that is saved beside it."""
    llama = random_llama(7, with_template(tokenizer, ZEPHYR))
    llama.save(tmp_path, "hf")
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    for dialog in DIALOGS:
        due = theirs.apply_chat_template(dialog, return_dict=False)
        assert encode_dialog(llama.tokenizer, dialog) == due, theirs.convert_ids_to_tokens(due)
    labels = [segment.label for segment in segment_dialog(llama.tokenizer, DIALOGS[1])]
    assert " ".join(labels) == "tag system eos tag user eos tag assistant eos tag user eos tag"


def test_labels_of_a_template(bpe):
    tokenizer = with_template(bpe, "{{ bos_token }}" + TURNS.replace("m['content']", "m['content'] | trim"))
    dialog = [{"role": "system", "content": " system\n"}, {"role": "user", "content": "user"}]
    shown = [(segment.label, tokenizer.decode(segment.ids)) for segment in segment_dialog(tokenizer, dialog)]
    assert shown == [
        ("bos", ""), ("tag", "system\n"), ("system", "system"), ("eos", ""), ("tag", "\nuser\n"), ("user", "user"),
        ("eos", ""), ("tag", "\nassistant\n"),
    ]  # fmt: skip


def test_the_widgets_draw_a_format_without_bos(random_llama, bpe):
    llama = random_llama(tokenizer=with_template(bpe, ZEPHYR), max_seq_len=96)
    assert show_chat(llama, DIALOGS[0])
    assert "ml-is-user" in ChatView(llama, [{"role": "user", "content": "Is it old?"}]).view.value
    llama = random_llama(tokenizer=in_format(bpe, "llama-2"), max_seq_len=96)
    llama.tokenizer.bos_id = -1
    assert encode_dialog(llama.tokenizer, DIALOGS[0])[0] >= 0 and show_chat(llama, DIALOGS[0])


# ---- what must not get through


@pytest.mark.parametrize("text", ["<|im_end|>", "x<|begin|>", "<|assistant|>", "<|user|>"])
def test_special_tags_are_those_of_the_format_in_use(random_llama, bpe, text):
    llama = random_llama(tokenizer=with_template(bpe, ZEPHYR.replace("'<|' + m['role'] + '|>\n'", "'<|user|>\n'")),
                         max_seq_len=96)  # fmt: skip
    dialog = [{"role": "user", "content": text}]
    assert has_special_tags(dialog, llama.tokenizer)
    assert llama.chat_completion([dialog, DIALOGS[0]], max_gen_len=2)[0]["generation"]["content"] == UNSAFE_ERROR
    assert [*llama.stream(dialog)] == [UNSAFE_ERROR]
    assert not has_special_tags([{"role": "user", "content": "[INST] <<SYS>>"}], llama.tokenizer)


def test_thoughts_are_no_marks(bpe):
    """An answer that thinks aloud can be followed by a question; Qwen's and DeepSeek's templates know such words."""
    template = ZEPHYR.replace("m['content']", "m['content'].split('</think>')[-1]") + "<think>\n"
    tokenizer = with_template(bpe, template)
    dialog = [DIALOGS[0][0], {"role": "assistant", "content": "<think>Hm.</think> Yes."}, DIALOGS[0][0]]
    assert not has_special_tags(dialog, tokenizer) and bpe.decode(encode_dialog(tokenizer, dialog)).count("Hm") == 0


def test_a_message_never_becomes_a_token(bpe, tokenizer):
    assert format_tags(with_template(bpe, LLAMA_2)) == format_tags()
    template = "{{ bos_token + messages[-1].content + eos_token }}"
    with pytest.raises(ValueError, match="^dialogs: a message of the role user holds '<.im_end.>'"):
        encode_dialog(with_template(bpe, template), [{"role": "user", "content": "a<|im_end|>b"}])
    ids = encode_dialog(with_template(tokenizer, template), [{"role": "user", "content": "a</s>b"}])
    assert ids == [1, *tokenizer.encode("a</s>b", bos=False, eos=False), 2]


HOSTILE = {
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "attributes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "attributes by filter": "{{ messages | attr('__class__') }}{{ ''|attr('format')|attr('__globals__') }}x{{ 1/0 }}",
    "format": "{{ '{0.__class__.__mro__}'.format(messages) }}",
    "globals": "{{ raise_exception.__globals__ }}",
    "self": "{{ self.__init__.__globals__ }}",
    "memory": "{{ 'a' * 10**9 }}",
    "memory, later": "{% set n = 10**9 %}{{ messages[0].content * n }}",
    "memory, in rows": "{% set x = namespace(s='aaaaaaaa') %}{% for i in range(99) %}{% set x.s = x.s + x.s %}"
                       "{% endfor %}",
    "power": "{{ 9**(9**(9**9)) }}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "parentheses": "{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}",
    "output": "{% for a in range(99999) %}{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' }}{% endfor %}",
    "filters": "{{ ('a' * 30) | wordwrap(1) | urlize | pprint | tojson }}",
    "loads of text": "{{ lipsum(999, max=9999, min=999) }}",
    "files": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as os %}",
    "not a template": "{% for %}",
    "an unknown tag": "{% debug %}",
    "raises": "{{ raise_exception('No.') }}",
    "undefined": "{{ messages[9].content.x }}",
    "drops the message": "Hello.",
    "writes nothing": " {% if false %}{{ messages }}{% endif %}"[1:],
    "half a character": "{{ '\\ud800' + messages[-1].content }}",
    "control codes": "{{ raise_exception('\\x1b[2J') }}",
    "parts of messages": "{% for m in messages %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endfor %}",
}  # fmt: skip


REASONS = {
    "nested loops": "takes more than 2 s", "attributes": "SecurityError", "format": "SecurityError",
    "memory": "MemoryError", "memory, later": "MemoryError", "recursion": "RecursionError",
    "output": "writes more than 1048576 characters", "loads of text": "takes more|writes more",
    "power": "takes more|MemoryError|OverflowError", "raises": "TemplateError: No.", "globals": "writes nothing",
    "drops the message": "leaves the user's message out", "parts of messages": "writes nothing",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_or_broken_template_is_refused_by_name(bpe, name, monkeypatch):
    if name in ("power", "loads of text"):  # once is enough for all two seconds
        monkeypatch.setattr(sandbox, "SECONDS", 0.3)
    template = HOSTILE[name] + "{# <|im_start|> <|im_end|> #}" * (name in ("memory", "raises"))
    tokenizer, start = with_template(bpe, template), time.monotonic()
    with pytest.raises(ValueError, match="^dialogs: this checkpoint's chat template") as caught:
        encode_dialog(tokenizer, DIALOGS[0])
    assert time.monotonic() - start < 3
    assert repr(template[:60]) in str(caught.value) and "chat_format='llama-2'" in str(caught.value)
    assert len(str(caught.value)) < 800 and "lib/python" not in str(caught.value)
    assert str(caught.value).isprintable() and re.search(REASONS.get(name, ""), str(caught.value))


def test_build_and_texts_run_no_template(random_llama, bpe, tmp_path, monkeypatch):
    random_llama(tokenizer=with_template(bpe, HOSTILE["nested loops"]), max_seq_len=64).save(tmp_path, "hf")
    monkeypatch.setattr(subprocess, "Popen", None)
    llama = Llama.build(tmp_path, device="cpu")
    assert llama.text_completion(["Once"], max_gen_len=3, temperature=0)
    assert llama.tokenizer.stop_ids == (2,)


def test_the_process_can_open_no_file_and_starts_none():
    """Whatever a template may get hold of."""
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); import sandbox_child as c; c.limit(2**28)\n"
        "for act in (lambda: open('/etc/hostname'), lambda: open('/tmp/x', 'w'), os.fork, lambda: bytearray(2**29)):\n"
        "    try: act(); print('done')\n"
        "    except (OSError, MemoryError): print('refused')\n"
    )
    if sys.platform != "linux":
        pytest.skip("limits differ")
    folder = str(Path(sandbox.__file__).parent)
    run = subprocess.run([sys.executable, "-I", "-c", code, folder], capture_output=True, text=True)
    said = run.stdout.split()
    assert said[:2] == ["refused"] * 2 and said[-1] == "refused" and (os.geteuid() == 0 or said[2] == "refused")


def test_without_jinja2(bpe, random_llama, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    llama = random_llama(tokenizer=with_template(bpe, TURNS), max_seq_len=64)
    assert llama.text_completion(["Once"], max_gen_len=2)
    for call in (lambda: llama.chat_completion(DIALOGS[:1]), lambda: llama.stream(DIALOGS[0])):
        with pytest.raises(ValueError, match="needs jinja2 .* pip install 'jinja2>=3.1.6'.*chat_format='llama-2'"):
            call()
    assert encode_dialog(in_format(llama.tokenizer, "chatml"), DIALOGS[0])


def test_the_limit_of_output_is_for_all_dialogs_together(monkeypatch):
    monkeypatch.setattr(sandbox, "OUTPUT", 100)
    first, second = sandbox.render("{{ 'a' * 60 }}", [[], []], {})
    assert first == {"text": "a" * 60} and "more than 100 characters" in second["error"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [("import os; os._exit(3)", "broke the process"), ("print(); print('{\"old\": \"2.9\"}')", "newer jinja2 than 2.9"),
     ("import time; print(flush=True); time.sleep(9)", "takes more than 0.2 s"),
     ("print(flush=True); print('x' * 30_000_000)", "broke the process")],
)  # fmt: skip
def test_a_process_that_fails(tmp_path, monkeypatch, answer, words):
    (tmp_path / "child.py").write_text(answer)
    monkeypatch.setattr(sandbox, "CHILD", tmp_path / "child.py")
    monkeypatch.setattr(sandbox, "OUTPUT", 1)
    monkeypatch.setattr(sandbox, "SECONDS", 0.2 if "sleep" in answer else 20)
    with pytest.raises(ValueError, match=words):
        sandbox.render("x", [[]], {})


# ---- chat_format


@pytest.fixture(scope="module")
def silent(random_llama, tokenizer, tmp_path_factory):
    """The same weights in Meta's layout, which means Llama 2's format, and in Hugging Face's without a template."""
    top = tmp_path_factory.mktemp("silent")
    for format in ("meta", "hf"):
        random_llama(5, tokenizer).save(top / format, format)
    settings = json.loads((top / "hf" / "tokenizer_config.json").read_text())
    del settings["chat_template"]
    (top / "hf" / "tokenizer_config.json").write_text(json.dumps(settings))
    return top


def test_a_checkpoint_without_a_template_can_be_told_its_format(silent, capsys):
    due = encode_dialog(Llama.build(silent / "meta", device="cpu").tokenizer, DIALOGS[1])
    plain = Llama.build(silent / "hf", device="cpu")
    with pytest.raises(ValueError, match="no chat template.*chat_format='llama-2'.*--chat-format"):
        plain.chat_completion([DIALOGS[0]])
    told = Llama.build(silent / "hf", device="cpu", chat_format="llama-2")
    assert encode_dialog(told.tokenizer, DIALOGS[1]) == due
    command = ["chat", "--model", str(silent / "hf"), "Hi", "--max-gen-len", "2", "--temperature", "0"]
    assert main(command) == 2 and "--chat-format" in capsys.readouterr().err
    assert main([*command, "--chat-format", "llama-2"]) == 0
    out = capsys.readouterr().out
    assert main([*command[:2], str(silent / "meta"), *command[3:]]) == 0 and capsys.readouterr().out == out


def test_a_gguf_file_without_a_template_can_be_told_its_format(silent, tokenizer):
    from minillama.formats.gguf_tokenizer import from_metadata

    sp, ids = tokenizer.sp_model, range(tokenizer.n_words)
    types = [2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 6 if sp.is_byte(i) else 1 for i in ids]
    fields = {"model": "llama", "tokens": [sp.id_to_piece(i) for i in ids], "scores": [sp.get_score(i) for i in ids],
              "token_type": types, "bos_token_id": 1, "eos_token_id": 2}  # fmt: skip
    made = from_metadata({f"tokenizer.ggml.{key}": value for key, value in fields.items()}, -1, Path("x.gguf"))
    assert isinstance(made.chat_format, NoChat)
    assert encode_dialog(in_format(made, "llama-2"), DIALOGS[1]) == encode_dialog(tokenizer, DIALOGS[1])


def test_convert_writes_the_format_that_it_is_told(silent, tmp_path, capsys):
    command = ["convert", "--model", str(silent / "hf"), "--format", "hf"]
    assert main([*command, str(tmp_path / "a")]) == 0 and main([*command, str(tmp_path / "b"), "--chat-format",
                                                                "llama-2"]) == 0  # fmt: skip
    assert isinstance(Llama.build(tmp_path / "a", device="cpu").tokenizer.chat_format, NoChat)
    assert Llama.build(tmp_path / "b", device="cpu").tokenizer.chat_format is None


def test_a_format_goes_before_that_of_the_checkpoint(random_llama, bpe, tmp_path):
    random_llama(tokenizer=with_template(bpe, HOSTILE["raises"]), max_seq_len=64).save(tmp_path, "hf")
    made = {name: Llama.build(tmp_path, device="cpu", chat_format=name).tokenizer
            for name in ("llama-2", "chatml", "none")}  # fmt: skip
    assert made["llama-2"].chat_format is None and made["chatml"].stop_ids == (2,)
    assert bpe.decode(encode_dialog(made["chatml"], DIALOGS[0])) == "user\n Is it old? \nassistant\n"
    with pytest.raises(ValueError, match="chat_format is 'none'"):
        encode_dialog(made["none"], DIALOGS[0])


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [("chatml", ValueError, "no tokens <.im_start.>"), ("Llama-2", ValueError, "chat_format must be"),
     ("", ValueError, "chat_format must be"), (2, TypeError, "chat_format must be")],
)  # fmt: skip
def test_a_format_that_there_is_not(checkpoint, value, error, words):
    with pytest.raises(error, match=words):
        Llama.build(checkpoint.folder, device="cpu", chat_format=value)


# ---- carried through


@pytest.mark.parametrize("format", ["hf", "meta"])
def test_an_unknown_template_and_the_samplers_settings_are_carried_through(random_llama, bpe, folder, tmp_path, format):
    source = shutil.copytree(folder, tmp_path / "in")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"chat_template": ZEPHYR, "bos_token": None, "unk_token": SPECIAL[1]}
    (source / "tokenizer_config.json").write_text(json.dumps(settings))
    kept = {"temperature": 0.6, "do_sample": True, "transformers_version": "5.0"}
    (source / "generation_config.json").write_text(json.dumps(kept | {"eos_token_id": [2, 1], "bos_token_id": 0}))
    tokenizer = read_tokenizer(source, -1, {"bos_token_id": 0})
    for k in range(2):  # there, and from there once more
        out = tmp_path / f"out{k}"
        random_llama(tokenizer=tokenizer, max_seq_len=64).save(out, format)
        again = Llama.build(out, device="cpu").tokenizer
        assert again.chat_format.template == ZEPHYR and again.chat_format.tokens == tokenizer.chat_format.tokens
        assert encode_dialog(again, DIALOGS[1]) == encode_dialog(tokenizer, DIALOGS[1])
        written = json.loads((out / "generation_config.json").read_text())
        assert written == kept | {"eos_token_id": [2, 1], "bos_token_id": 0}
        tokenizer = again


def test_settings_alone_are_carried_through(random_llama, tokenizer, tmp_path):
    random_llama(tokenizer=tokenizer).save(tmp_path / "a", "hf")
    (tmp_path / "a" / "generation_config.json").write_text('{"temperature": 0.6, "eos_token_id": 2}')
    for k, format in enumerate(("meta", "hf")):
        Llama.build(tmp_path / "ab"[k], device="cpu").save(tmp_path / "bc"[k], format)
    assert json.loads((tmp_path / "c" / "generation_config.json").read_text())["temperature"] == 0.6
    assert Llama.build(tmp_path / "c", device="cpu").tokenizer.chat_format is None


def test_an_older_template_does_not_go_before_the_one_that_is_saved(random_llama, bpe, tmp_path):
    (tmp_path / TEMPLATE).write_text("{{ messages[0].content }} of old")
    random_llama(tokenizer=with_template(bpe, ZEPHYR), max_seq_len=64).save(tmp_path, "hf")
    assert Llama.build(tmp_path, device="cpu").tokenizer.chat_format.template == ZEPHYR


def test_the_template_that_is_written_for_any_system_text(bpe, theirs):
    for system in ('You\'re "kind".\nAnd \\brief.', "磨坊🙂", "Be kind."):
        made = ChatML(1, 2, system)
        template = to_template(made)
        due = theirs.apply_chat_template(DIALOGS[0], chat_template=template, add_generation_prompt=True,
                                         return_dict=False)  # fmt: skip
        assert encode_dialog(bpe.with_format(made), DIALOGS[0]) == due
        assert encode_dialog(with_template(bpe, template), DIALOGS[0]) == due
    assert default_system(to_template(ChatML(1, 2, "Be kind."))) == "Be kind."


# ---- info


def test_info_tells_the_chat_format(checkpoint, silent, capsys):
    def told(folder, *options):
        assert main(["info", "--model", str(folder), *options]) == 0
        return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("chat format"))

    assert told(checkpoint.folder) == told(silent / "meta") == "chat format llama-2"
    none = "chat format none: this checkpoint has no chat template, so a dialog cannot be laid out"
    assert told(silent / "hf") == none
    assert told(silent / "hf", "--chat-format", "llama-2") == "chat format llama-2"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (LLAMA_2, "llama-2, as the checkpoint's own template says"),
        (TURNS, "chatml, as the checkpoint's own template says"),
        (ZEPHYR, "the checkpoint's own template"),
        (
            HOSTILE["raises"],
            "none: this checkpoint's chat template, .* lay this dialog out .TemplateError: No..",
        ),
        (HOSTILE["control codes"], "none: this checkpoint's chat template, .*"),
    ],
)
def test_a_template_is_told_by_what_it_means(bpe, template, words):
    told = described(with_template(bpe, template))
    assert re.fullmatch(words, told) and told.isprintable()
