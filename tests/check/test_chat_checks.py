"""The judges of the exercises on chat: the right answer passes, the answers that learners give are understood."""

import pytest

from minillama import check
from minillama.chat import B_INST, B_SYS, E_INST, E_SYS, SPECIAL_TAGS, UNSAFE_ERROR, encode_dialog, has_special_tags
from minillama.check.chat import MISTAKES, Spelling, _spell, messages


def right_encode(tokenizer, dialog):
    if dialog[0]["role"] == "system":
        folded = B_SYS + dialog[0]["content"] + E_SYS + dialog[1]["content"]
        dialog = [{"role": "user", "content": folded}, *dialog[2:]]
    ids = []
    for prompt, answer in zip(dialog[::2], dialog[1::2], strict=False):
        text = f"{B_INST} {prompt['content'].strip()} {E_INST} {answer['content'].strip()} "
        ids += tokenizer.encode(text, bos=True, eos=True)
    return ids + tokenizer.encode(f"{B_INST} {dialog[-1]['content'].strip()} {E_INST}", bos=True, eos=False)


def right_faults(tokenizer, ids):
    found = []
    if ids.count(tokenizer.bos_id) != tokenizer.decode(ids).count(B_INST):
        found.append("bos")
    if ids[-1] == tokenizer.eos_id:
        found.append("eos")
    closed = [k for k, i in enumerate(ids[:-1]) if i == tokenizer.eos_id]
    if any(tokenizer.token_bytes(ids[k - 1]) != b" " for k in closed):
        found.append("space")
    return found


def faults_by_pieces(tokenizer, ids):
    """The space found by its name: a token ▁."""
    names = tokenizer.pieces(ids)
    closed = [k for k, i in enumerate(ids[:-1]) if i == tokenizer.eos_id]
    space = ["space"] if any(names[k - 1] != "▁" for k in closed) else []
    return [fault for fault in right_faults(tokenizer, ids) if fault != "space"] + space


def right_chat(llama, dialogs):
    return guarded(llama, dialogs, lambda dialog: not has_special_tags(dialog))


def guarded(llama, dialogs, allowed):
    results = [{"content": UNSAFE_ERROR, "ids": [], "logprobs": []} for _ in dialogs]
    run = [k for k, dialog in enumerate(dialogs) if allowed(dialog)]
    if run:
        prompts = [encode_dialog(llama.tokenizer, dialogs[k]) for k in run]
        rows, scores = llama.generate(prompts, 20, temperature=0, logprobs=True)
        for k, row, score in zip(run, rows, scores, strict=True):
            results[k] = {"content": llama.tokenizer.decode(row), "ids": row, "logprobs": score}
    return results


def right_tags(text):
    squeezed = "".join(text.lower().split())
    return any(tag.lower() in squeezed for tag in SPECIAL_TAGS)


def test_right_answers_pass():
    for report in (
        check.encode_dialog(encode_dialog),
        check.encode_dialog(right_encode),
        check.chat_faults(right_faults),
        check.chat_faults(faults_by_pieces),
        check.guarded_chat(right_chat),
        check.special_tags(right_tags),
    ):
        assert report.status == "passed", report


def stub(*_):
    raise NotImplementedError


CHECKS = (check.encode_dialog, check.chat_faults, check.guarded_chat, check.special_tags)


@pytest.mark.parametrize("judge", CHECKS)
def test_stubs_and_nonsense(judge):
    assert judge(stub).status == "not attempted"
    assert judge(lambda *_: ...).status == "not attempted"
    assert judge("no function").status == "failed"
    assert judge(lambda *_: None).status == "failed"
    assert "IndexError" in judge(lambda *_: [][0]).hint


def test_without_a_fault_the_reference_is_the_packages():
    for dialog in (messages("Hi"), messages(" a ", "b", "c", system=" s ")):
        assert _spell(Spelling(), dialog) == encode_dialog(Spelling(), dialog)


@pytest.mark.parametrize("fault", MISTAKES)
def test_every_known_mistake_has_its_hint(fault):
    report = check.encode_dialog(lambda tokenizer, dialog: _spell(tokenizer, dialog, fault))
    assert report.status == "failed" and report.hint.startswith(MISTAKES[fault])
    assert "due " in report.hint and "yours" in report.hint


def test_two_mistakes_are_both_named():
    report = check.encode_dialog(lambda tokenizer, dialog: _spell(tokenizer, dialog, "bos", "space"))
    assert MISTAKES["bos"] in report.hint and MISTAKES["space"] in report.hint


def changes_the_dialog(tokenizer, dialog):
    if dialog[0]["role"] == "system":
        system = dialog.pop(0)
        dialog[0]["content"] = B_SYS + system["content"] + E_SYS + dialog[0]["content"]
    return right_encode(tokenizer, dialog)


ENCODE_MISTAKES = {
    "no sum": (lambda tokenizer, dialog: [right_encode(tokenizer, dialog)], "Add them up"),
    "text": (lambda tokenizer, dialog: list("[INST] Hi [/INST]"), "must go through encode"),
    "another tokenizer": (lambda tokenizer, dialog: [1, 4000, 4001], "the tokenizer that your function was given"),
    "changed": (changes_the_dialog, "changed the list"),
    "no return": (lambda tokenizer, dialog: None, "return"),
    "typed ends": (
        lambda tokenizer, dialog: tokenizer.encode("<s>[INST] Hi [/INST]", bos=False, eos=False),
        "The ids differ here",
    ),
}


@pytest.mark.parametrize("name", ENCODE_MISTAKES)
def test_encode_mistakes(name):
    wrong, hint = ENCODE_MISTAKES[name]
    report = check.encode_dialog(wrong)
    assert report.status == "failed" and hint in report.hint


def test_ids_are_shown_readably():
    ids = encode_dialog(Spelling(), messages("Hi", "好", "Bye\n"))
    assert Spelling().show(ids) == "<s>▁[INST]▁Hi▁[/INST]▁好▁</s><s>▁[INST]▁Bye▁[/INST]"


FAULT_MISTAKES = {
    "nothing found": (lambda tokenizer, ids: [], "as many bos as [INST]"),
    "one bos is right": (
        lambda tokenizer, ids: ["bos"] * (ids.count(1) != 1) + [f for f in right_faults(tokenizer, ids) if f != "bos"],
        "You report 'bos'",
    ),
    "bos against eos": (
        lambda tokenizer, ids: (
            ["bos"] * (ids.count(1) != ids.count(2) + 1) + [f for f in right_faults(tokenizer, ids) if f != "bos"]
        ),
        "You report 'bos'",
    ),
    "any eos": (lambda tokenizer, ids: ["eos"] if 2 in ids else [], "very last id"),
    "the first eos only": (
        lambda tokenizer, ids: (
            [f for f in right_faults(tokenizer, ids) if f != "space"]
            + (["space"] if 2 in ids[:-1] and tokenizer.token_bytes(ids[ids.index(2) - 1]) != b" " else [])
        ),
        "before each eos",
    ),
    "the last eos too": (
        lambda tokenizer, ids: (
            [f for f in right_faults(tokenizer, ids) if f != "space"]
            + (["space"] if any(tokenizer.token_bytes(ids[k - 1]) != b" " for k, i in enumerate(ids) if i == 2) else [])
        ),
        "leave the very last id out",
    ),
    "other names": (lambda tokenizer, ids: ["BOS"], "The names are"),
    "a str": (lambda tokenizer, ids: "bos", "list of names"),
    "changes the ids": (lambda tokenizer, ids: [ids.pop()] and [], "changed the list"),
    "typed signs counted": (
        lambda tokenizer, ids: (
            ["bos"] * (tokenizer.show(ids).count("<s>") != tokenizer.decode(ids).count(B_INST))
            + [f for f in right_faults(tokenizer, ids) if f != "bos"]
        ),
        "typed '<s>' is text",
    ),
}


@pytest.mark.parametrize("name", FAULT_MISTAKES)
def test_fault_mistakes(name):
    wrong, hint = FAULT_MISTAKES[name]
    report = check.chat_faults(wrong)
    assert report.status == "failed" and hint in report.hint, report


def run_all(llama, dialogs):
    """As in Meta's code."""
    results = guarded(llama, dialogs, lambda dialog: True)
    for result, dialog in zip(results, dialogs, strict=True):
        result["content"] = UNSAFE_ERROR if has_special_tags(dialog) else result["content"]
    return results


def left_out(llama, dialogs):
    return right_chat(llama, [dialog for dialog in dialogs if not has_special_tags(dialog)])


def shifted(llama, dialogs):
    refused = [each for each in right_chat(llama, dialogs) if each["content"] == UNSAFE_ERROR]
    return left_out(llama, dialogs) + refused


def never_empty(llama, dialogs):
    prompts = [encode_dialog(llama.tokenizer, dialog) for dialog in dialogs if not has_special_tags(dialog)]
    llama.generate(prompts, 20, logprobs=True)
    return right_chat(llama, dialogs)


def invents(llama, dialogs):
    results = right_chat(llama, dialogs)
    return [{**each, "ids": [7], "logprobs": [-1.0]} if each["content"] == UNSAFE_ERROR else each for each in results]


def the_same_dict(llama, dialogs):
    result = {}
    for each in right_chat(llama, dialogs):
        result.update(each)
    return [result] * len(dialogs)


def none_for_lists(llama, dialogs):
    nothing = {"ids": None, "logprobs": None}
    return [{**each, **nothing} if each["content"] == UNSAFE_ERROR else each for each in right_chat(llama, dialogs)]


CHAT_MISTAKES = {
    "one dict for all": (the_same_dict, "one and the same dict"),
    "None for the lists": (none_for_lists, "empty: []"),
    "refused after the run": (run_all, "not after"),
    "only the last message is looked at": (
        lambda llama, dialogs: guarded(llama, dialogs, lambda dialog: not has_special_tags(dialog[-1:])),
        "was run all the same",
    ),
    "no result for a refused one": (left_out, "has a result, too"),
    "refused ones at the end": (shifted, "keep the order"),
    "generate without prompts": (never_empty, "empty list"),
    "ids for a refused one": (invents, "they leak"),
    "texts only": (
        lambda llama, dialogs: [each["content"] for each in right_chat(llama, dialogs)],
        "dict with the keys",
    ),
    "no logprobs": (
        lambda llama, dialogs: [{**each, "logprobs": []} for each in right_chat(llama, dialogs)],
        "logprobs=True",
    ),
    "all refused": (lambda llama, dialogs: guarded(llama, dialogs, lambda dialog: False), "content"),
    "other ids": (
        lambda llama, dialogs: [{**each, "ids": []} for each in right_chat(llama, dialogs)],
        "the ids are not",
    ),
    "no return": (lambda llama, dialogs: None, "NoneType"),
}


@pytest.mark.parametrize("name", CHAT_MISTAKES)
def test_chat_mistakes(name):
    wrong, hint = CHAT_MISTAKES[name]
    report = check.guarded_chat(wrong)
    assert report.status == "failed" and hint in report.hint, report


def tags_in(text, tags=SPECIAL_TAGS):
    return any(tag in text for tag in tags)


TAG_MISTAKES = {
    "exact spelling": (tags_in, "in one case"),
    "the text lowered, the tags not": (lambda text: tags_in(text.lower()), "'[INST]': due True"),
    "spaces stay": (lambda text: tags_in(text.lower(), [tag.lower() for tag in SPECIAL_TAGS]), "white space"),
    "only the ends stripped": (
        lambda text: tags_in(text.strip().lower(), [tag.lower() for tag in SPECIAL_TAGS]),
        "white space",
    ),
    "blanks only": (
        lambda text: tags_in(text.replace(" ", "").lower(), [tag.lower() for tag in SPECIAL_TAGS]),
        "white space",
    ),
    "the words": (lambda text: "inst" in text.lower() or "sys" in text.lower(), "brackets included"),
    "two of four tags": (lambda text: "[inst]" in "".join(text.lower().split()), "four tags"),
    "either, not both": (
        lambda text: tags_in("".join(text.split())) or tags_in(text.lower(), [tag.lower() for tag in SPECIAL_TAGS]),
        "Do both",
    ),
    "no bool": (lambda text: [tag for tag in SPECIAL_TAGS if tag in text], "True or False"),
}


@pytest.mark.parametrize("name", TAG_MISTAKES)
def test_tag_mistakes(name):
    wrong, hint = TAG_MISTAKES[name]
    report = check.special_tags(wrong)
    assert report.status == "failed" and hint in report.hint, report
