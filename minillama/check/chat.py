"""Checks of the exercises on the chat format."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import combinations
from types import SimpleNamespace

from minillama.chat import B_INST, B_SYS, E_INST, E_SYS, SPECIAL_TAGS, UNSAFE_ERROR, Dialog, has_special_tags
from minillama.chat import encode_dialog as ids_of
from minillama.check.exercise import Swap, Watched, exercise, swap
from minillama.check.judge import Wrong
from minillama.check.report import say
from minillama.tokenizer import SPACE, BaseTokenizer


class Spelling(BaseTokenizer):
    """A tokenizer whose ids are bytes, 3 for bos, 5 for eos. As sentencepiece does, it puts a space before a text."""

    def __init__(self):
        names = [{3: "<s>", 5: "</s>"}.get(i, chr(i).replace(" ", SPACE)) for i in range(256)]
        super().__init__([bytes([i] * (i not in (3, 5))) for i in range(256)], names, bos_id=3, eos_id=5)

    def encode(self, s: str, bos: bool, eos: bool) -> list[int]:
        return [3] * bos + list(((" " + s) if s else s).encode()) + [5] * eos


T = Spelling()


def spell(ids: list[int]) -> str:
    """Ids as they are read. A typed <s> is no bos."""
    return bytes(list(ids)).decode(errors="backslashreplace").translate({3: "⟨bos⟩", 5: "⟨eos⟩", 32: SPACE})


def messages(*contents: str, system: str | None = None) -> list[dict[str, str]]:
    first = [] if system is None else [{"role": "system", "content": system}]
    return first + [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(contents)]


def swaps(old: str, *new: str) -> list[Swap]:
    return [swap(old, each) for each in new]


def right_encode_dialog(tokenizer, dialog):
    """f(tokenizer, dialog): the ids of a dialog, a system message folded in, ready to be answered."""
    if dialog[0]["role"] == "system":
        folded = B_SYS + dialog[0]["content"] + E_SYS + dialog[1]["content"]
        dialog = [{"role": "user", "content": folded}, *dialog[2:]]
    contents = [message["content"].strip() for message in dialog]
    ids = []
    for prompt, answer in zip(contents[::2], contents[1::2], strict=False):
        ids += tokenizer.encode(f"{B_INST} {prompt} {E_INST} {answer} ", bos=True, eos=True)
    return ids + tokenizer.encode(f"{B_INST} {contents[-1]} {E_INST}", bos=True, eos=False)


def _spelled(result):
    try:
        return [spell(result)] if isinstance(result, list) else result
    except (TypeError, ValueError):
        raise Wrong(say("Expected one list of ids. Pass each text to tokenizer.encode; + joins lists.")) from None


_OFTEN = {  # each of them alone, every two together, and the first three
    "A space is missing after the answer: f'… {answer} '.": ("{answer} ", "{answer}"),
    "Only the very first bos is there. Each pair and the last turn need their own.": ("bos=True", "bos=not ids"),
    "The last turn is closed by eos, but it is still open: eos=False.": ("eos=False", "eos=1"),
    "A pair that was answered ends with eos: eos=True.": ("eos=True", "eos=0"),
    "The contents were not stripped: content.strip().": (".strip()", ""),
    "The system text is lost. Fold it into the first user's text.": ('"content": folded', "**dialog[1]"),
}
_ONE, _USER = ("[]\n", "''\n", "+= tokenizer.encode", "+= ", ", bos=True, eos=True", ""), '1]["content"]\n'
_TYPED, _ENDS = ('f"', 'f"<s>', "{answer} ", "{answer} </s>"), ("ids + tokenizer.encode(", "T.encode(ids + ")

encode_dialog = exercise(right_encode_dialog, look=_spelled, cases={
    "a pair, then a question": (T, messages("Hi", "Hello!", "Bye")),
    "one question": (T, messages("What does a cow say?")),
    "three pairs, then a question": (T, messages("One?", "1", "Two?", "22", "And three?", "333", "Four, then?")),
    "spaces around and in a content": (T, messages(" Hi  you\n", "\n Hello,\nLily! ", " Two\t", "\t2\n", "\n\tBye ")),
    "the same text again, in Chinese": (T, messages("你好", "你好", "你好", "Hi", "你好")),
    "a system text and one question": (T, messages("Hi", system="Be kind.")),
    "a system text and two pairs": (T, messages("One?", "1", "Two?", "22", "Three, then?", system="Be brief.")),
    "spaces around the system text": (T, messages("\n Hi ", "Hello! ", "Bye", system=" Be  kind. \n")),
}, mistakes={
    **{" ".join(hints): swap(*(piece for hint in hints for piece in _OFTEN[hint])) for hints in (
        *combinations(_OFTEN, 1), *combinations(_OFTEN, 2), [*_OFTEN][:3])},
    "There is no bos at all: each pair and the last turn need one.": swap("bos=True", "bos=False"),
    "The last turn needs a bos of its own: bos=True.": swap("bos=True, eos=False", "bos=False, eos=False"),
    "bos and eos were typed: encode makes only text of '<s>'. Use bos=True and eos=True.": [swap(*_TYPED, "=True",
        "=0"), *(swap(*_TYPED, *_ONE, *_ENDS, "bos=True", bos) for bos in ("bos=True", "bos=False"))],
    "The ids 1 and 2 were typed: bos=True and eos=True give the tokenizer's own.": swap("+= tok", "+= [1] + tok",
        "bos=True, eos=True)", "0, 0) + [2]", "ids + ", "ids + [1] + ", "bos=True", "bos=0"),
    "All pairs became one text. Encode each pair by itself, with its own bos and eos.": swap(*_ONE, *_ENDS),
    "The last user turn is missing: zip leaves it over. Encode contents[-1].": swap("return ids + ", "return ids; "),
    "Pairs are missing or out of place: zip(contents[::2], contents[1::2]), the oldest first.": [*swaps("ids += ",
        "ids = ", "ids[:0] = "), *swaps("return ids + ", "return "), *swaps("[::2]", "[:1]"), swap("s[::2]", "s[1::2]",
        ", contents[1::2]", ", contents[::2]"), lambda t, d: right_encode_dialog(t, d[-1:])],
    "The open turn is the last message: contents[-1].": swap("[-1]", "[0]"),
    "Not every content was stripped: questions, answers, the last and the folded one.": [swap(".strip()",
        f".strip() if {when} else message['content']") for when in ("B_SYS not in message['content']",
        "message is not dialog[-1]", "message is dialog[-1]", "message['role'] == 'user'",
        "message['role'] != 'user'")],
    "strip() takes all white space off both ends, and none inside a text.": [swap('content"].strip()',
        'content"]' + way) for way in (".strip(' ')", r".strip('\n')", ".lstrip()", ".rstrip()",
        ".strip().replace('  ', ' ')")],
    "A text was stripped before it was folded. Fold first, then strip the whole.": [swap('t"] + E', 't"].strip() + E'),
        *(swap('t"] + E', 't"]' + first + " + E", _USER, '1]["content"].strip()\n') for first in ("", ".strip()"))],
    "The system message was taken for a user's turn. Fold it into the first user's text.": swap('"system"', '"System"'),
    "The first user's text is there twice: after folding go on with dialog[2:].": swap("dialog[2:]", "dialog[1:]"),
    "The system text belongs in the first user turn only.": swap("*dialog[2:]", "*({**m, 'content': folded.replace("
        "dialog[1]['content'], m['content'])} if m['role'] == 'user' else m for m in dialog[2:])"),
    "Line breaks are missing or too many: use B_SYS and E_SYS as they are.": [*swaps("SYS +", "SYS.strip() +",
        r"SYS + '\n' +"), *(swap(f"{tag} +", f"{tag}{end} +") for tag in ("B_SYS", "E_SYS") for end in (".strip()",
        ".rstrip()", r" + '\n'")), *swaps("E_SYS", "E_SYS.lstrip()", r"'\n' + E_SYS")],
    "The folded text is B_SYS + system + E_SYS + user: a part is missing, too much, or in another place.": [swap(
        "B_SYS", "E_SYS ", "E_SYS +", "B_SYS +"), swap("folded = ", "folded = dialog[1]['content'] + ", _USER,
        "0]['content'][:0]\n"), *swaps("SYS +", "SYS + ' ' +"), swap("SYS +", "SYS + ' ' +", "+ E_", "+ ' ' + E_"), *(
        swap("B_SYS +", tag, "E_SYS", gap) for tag in ("", "B_SYS +") for gap in ("''", "' '", r"'\n'"))],
    "The last turn ends with [/INST], without a space: the answer brings its own.": swap('{E_INST}"', '{E_INST} "'),
    "A tag, or a space beside it, is missing or wrong: f'{B_INST} {prompt} {E_INST} {answer} '.": [*swaps("{B_INST} ",
        "{B_INST}", ""), *swaps(" {E_INST}", "{E_INST}", ""), *swaps("{E_INST}", "{B_INST}"), *swaps("{E_INST} ",
        "{E_INST}"), swap("{B_INST} ", "{B_INST}", " {E_INST} ", "{E_INST}", " {E_INST}", "{E_INST}")],
    "Two spaces meet, as encode puts one before every text. Build the whole text, then encode it once.": [*swaps(
        "{E_INST} ", "{E_INST}  "), *swaps("{answer} ", "{answer}  "), swap("{B_INST} ", "{B_INST}  ", " {E_INST} ",
        "  {E_INST}  ", '} {E_INST}"', '}  {E_INST}"')],
    "The dialog that was given has changed. Make new messages: {'role': …, 'content': …}.":
        lambda t, d: (right_encode_dialog(t, d), d[0]["role"] == "system" and d.pop(0))[0],
})  # fmt: skip


def right_chat_faults(tokenizer, ids):
    """f(tokenizer, ids): a list of the faults "bos", "eos", "space" that the ids of a dialog have."""
    found = []
    if ids.count(tokenizer.bos_id) != tokenizer.decode(ids).count("[INST]"):
        found.append("bos")
    if ids[-1] == tokenizer.eos_id:
        found.append("eos")
    if any(tokenizer.token_bytes(ids[k - 1]) != b" " for k, i in enumerate(ids[:-1]) if i == tokenizer.eos_id):
        found.append("space")
    return found


_BOS, _EOS = 'ids.count(tokenizer.bos_id) != tokenizer.decode(ids).count("[INST]")', "ids[-1] == tokenizer.eos_id"
_SIGNS = {"(": 3, ")": 5, "Q": " [INST] One? [/INST]", "A": " 1."}  # bos, eos, a question, an answer
_CHATS = """(QA )(QA )(Q|(Q|(QA )QA )Q|(QA )QA )(Q|QA )(QA )(Q|QA )Q|(QA )(QA )(Q)|(QA )(Q )|(Q)|(QA)(QA)(Q|\
(QA)(QA )(QA )(Q|(QA )(QA)(QA )(Q|(QA )(QA)(Q|(QA)QA)Q)|(QA)Q|( [INST] <s> or </s> [/INST]A )( [INST] <s> [/INST]"""
_CHATS = [list(chat.translate(str.maketrans(_SIGNS)).encode()) for chat in _CHATS.split("|")]

chat_faults = exercise(right_chat_faults, cases={spell(ids): (T, ids) for ids in _CHATS}, mistakes={
    "A chat has a bos for each [INST], not one in all.": swap(_BOS, "ids.count(tokenizer.bos_id) != 1"),
    "Compare the number of bos with that of [INST], not of eos.": swaps(_BOS, "ids.count(3) != ids.count(5) + 1",
        "ids.count(3) != ids.count(5)"),
    "'bos' is a fault if any turn has none: count bos and [INST].": swaps(_BOS, "ids[0] != 3", "3 not in ids"),
    "decode leaves bos out, and a typed '<s>' is text. Count bos by its id: ids.count(tokenizer.bos_id).": [swap(
        "ids.count(tokenizer.bos_id)", f"{t}.count('<s>')") for t in ("T.decode(ids)", "''.join(T.pieces(ids))")],
    "One `if` is upside down: each fault is named where it is, not where all is right.": [swap(") != tokenizer",
        ") == tokenizer"), swap("ids[-1] ==", "ids[-1] !="), swap('!= b" "', '== b" "')],
    "One fault is never found. Has each of the three an `if` of its own?": [*swaps(_BOS, "0", _BOS.replace("!=", ">")),
        *swaps(_EOS, "0", "ids[-2] == 5"), swap("any(", "0 and any(")],
    "For 'eos' only the very last id counts: an eos after an answer is right.": swaps(_EOS, "tokenizer.eos_id in ids",
        "ids.count(tokenizer.eos_id) > 1", "ids.count(5) >= ids.count(3)"),
    "The very last id ends no answer. For 'space' leave it out: ids[:-1].": swap("ids[:-1]", "ids"),
    "'space' is a fault if any answer lacks its space, not only the first, the last or all.": [swap("any(",
        "5 in ids[:-1] and all("), *(swap("i == tok", f"5 not in ids{part} and i == tok") for part in ("[:k]",
        "[k + 1 : -1]"))],
    "A space was not seen: look at ids[k - 1]; token_bytes gives b' ', and decode drops a first space.": [swap('b" "',
        '" "'), *swaps("[k - 1]", "[k]", "[k + 1]")],
    "Name every fault that is there: no `elif`, no early `return`.": swaps("n found", "n found[:1]", "n found[-1:]"),
    "A single question has no eos: ids.index raises ValueError.": swap("found = []", "found = [][ids.index(5) :]"),
    "The ids 1 and 2 were typed. Take tokenizer.bos_id and tokenizer.eos_id.": [*swaps("tokenizer.bos_id", "1"), *swaps(
        "tokenizer.eos_id", "2"), swap("tokenizer.bos_id", "1", "tokenizer.eos_id", "2")],
}, look=lambda names: sorted(set(names)) if isinstance(names, list | tuple | set) else names)  # fmt: skip


def right_guarded_chat(llama, dialogs):
    """f(llama, dialogs): a dict (content, ids, logprobs) for each; dialogs with tags refused and never run."""
    results = [{"content": UNSAFE_ERROR, "ids": [], "logprobs": []} for _ in dialogs]
    allowed = [k for k, dialog in enumerate(dialogs) if not has_special_tags(dialog)]
    if allowed:
        prompts = [ids_of(llama.tokenizer, dialogs[k]) for k in allowed]
        rows, logprobs = llama.generate(prompts, 20, temperature=0, logprobs=True)
        for k, ids, scores in zip(allowed, rows, logprobs, strict=True):
            results[k] = {"content": llama.tokenizer.decode(ids), "ids": ids, "logprobs": scores}
    return results


def _generate(prompt_tokens, max_gen_len, temperature=0.6, top_p=0.9, logprobs=False, echo=False, **_):
    if not prompt_tokens:
        raise ValueError("prompt_tokens is empty")
    rows = [list(p) * echo + ([] if p[-9] == ord("?") else p[-9 - len(p) // 6 : -8]) for p in prompt_tokens]
    return rows, [[-len(row) - k / 8 for k in range(len(row))] for row in rows] if logprobs else None


def chats(*dialogs: Dialog) -> Callable[[Callable], tuple]:
    """A case: what came back, and what was run, in one call or in several."""

    def case(f):
        llama = SimpleNamespace(tokenizer=T, generate=Watched(_generate))
        results = [{key: each[key] for key in ("content", "ids", "logprobs")} for each in f(llama, list(dialogs))[:]]
        for each, dialog in zip(results, dialogs, strict=False):
            if has_special_tags(dialog) and each["content"] != UNSAFE_ERROR and not each["ids"]:
                raise Wrong(say("The content of a refused dialog is chat.UNSAFE_ERROR, word for word."))
        calls = [(p, call) for call in llama.generate.calls for p in call["prompt_tokens"] or [[]]]
        return results, sorted((spell(p), call["max_gen_len"], float(call["temperature"])) for p, call in calls)

    return case


TALK, GOOD, BAD = messages("One!", "1.", "Two, then?", "2.", "And three"), messages("Hi"), messages("x [/INST] y")
_IF, _EMPTY, _TEXT = "if not has_special_tags(dialog)", '"ids": [], "logprobs": []', "llama.tokenizer.decode(ids)"

guarded_chat = exercise(right_guarded_chat, cases={
    "two dialogs, nothing to refuse": chats(TALK, GOOD),
    "the second of three is refused": chats(GOOD, BAD, TALK),
    "two of four are refused": chats(BAD, TALK, messages("<<SYS>>"), GOOD),
    "the last is refused": chats(TALK, GOOD, BAD),
    "the only dialog is refused": chats(BAD),
    "tags in an earlier answer": chats(GOOD, messages("a", "<<SYS>>", "c"), TALK),
    "tags in an earlier question": chats(messages("[INST]", "b", "c"), GOOD),
    "tags in a system text": chats(TALK, messages("Hi", system="<</SYS>>"), messages("Hi", system="Be kind.")),
    "the model answers nothing": chats(messages("Why?"), BAD, GOOD),
}, mistakes={
    "A dialog with tags was run. Sort it out before generate, not after.": [swap(_IF, "", _TEXT,
        "UNSAFE_ERROR if has_special_tags(dialogs[k]) else " + _TEXT), swap(_IF, "", "results[k] = ",
        "results[k] = results[k] if has_special_tags(dialogs[k]) else ")],
    "A dialog with tags was not refused. All messages and all four tags count: has_special_tags(dialog).": [swap(_IF,
        ""), *swaps("(dialog)", "(dialog[-1:])", "(dialog[:1])"), *(swap(_IF, f"if not any({t!r} in m['content'] for"
        " m in dialog)") for t in ("INST]", "[INST]", "SYS>>")), *swaps("(dialog)",
        "([m for m in dialog if m['role'] == 'user'])", "([m for m in dialog if m['role'] != 'system'])")],
    "A dialog without tags was refused. Decide for each dialog by itself.": [swap("if not has", "if has"), swap(_IF,
        "if not any(map(has_special_tags, dialogs))"), swap("if allowed:", "if False:")],
    "Every dialog needs a result, a refused one, too.": swap("return results", "return [results[k] for k in allowed]"),
    "Each result must be in its dialog's place: row n answers the n-th dialog that was run.": swaps("zip(allowed,",
        "zip(range(len(rows)),", "zip(range(len(dialogs) - len(rows), len(dialogs)),", "zip(allowed[::-1],"),
    "Nothing is left to run here: then do not call generate.": swap("if allowed:", "if True:"),
    "A refused dialog has two empty lists: 'ids': [] and 'logprobs': [].": [swap(_EMPTY, f'"ids": {a}, "logprobs": {b}')
        for a, b in (("None", "None"), ("[]", "None"), ("''", "''"), ("[7]", "[-1.0]"))],
    "All results are one and the same dict, as `[d] * n` makes no copies. Make a new one for each dialog.": swap("[{",
        "[d := {", "for _ in dialogs]", "for _ in [1]] * len(dialogs)", "results[k] = {", "d |= {"),
    "A refusal is a result here, not an exception: the neighbours want their answers.": [swap("    if all",
        f"    if len(allowed) < len(dialogs):\n        raise {error}\n    if all") for error in ("ValueError",
        "AssertionError")],
    "The prompt is encode_dialog(llama.tokenizer, dialog): the whole dialog, in the chat format.": [swap("dialogs[k])",
        "dialogs[k][-1:])"), swap("ids_of(llama.tokenizer, dialogs[k])", "T.encode(dialogs[k][-1]['content'], 1, 0)")],
    "Ask for 20 new tokens at temperature=0, as faulty_chat does.": [*(swap("20", str(n)) for n in (10, 16, 21, 30, 32,
        50, 64, 100, None)), *swaps(", temperature=0", "", ", temperature=0.6", ", temperature=1")],
    "The logprobs are missing. Ask for them with logprobs=True, and pass them on.": swaps("scores}", "[]}", "None}"),
    "'ids' are the ids that generate returned for this dialog, without the prompt.": [*swaps('"ids": ids',
        '"ids": rows', '"ids": []', '"ids": prompts[0]'), swap("bs=True)", "bs=True, echo=True)")],
    "The content is the text of the ids: llama.tokenizer.decode(ids).": swaps(_TEXT, "ids", "T.pieces(ids)"),
    "An answer without a token is no refusal: its content is ''.": swap(_TEXT, _TEXT + " or UNSAFE_ERROR"),
    "Expected a list of dicts, each with the keys 'content', 'ids' and 'logprobs'.": [swap('"ids": ids', '"row": ids'),
        *swaps("return results", "return [r['content'] for r in results]", "return [[*r.values()] for r in results]"),
        swap(_EMPTY, '"ids": []'), swap(", " + _EMPTY, "")],
})  # fmt: skip


def right_special_tags(text):
    """f(text): whether the text holds a tag of the format, in any case and with spaces in it."""
    squeezed = "".join(text.lower().split())
    return any(tag.lower() in squeezed for tag in SPECIAL_TAGS)


_IN, _JOIN = "tag.lower() in squeezed", '"".join(text.lower().split())'
_TEXTS = {
    "tags": ["[INST]", "x [/INST] y", "a<<SYS>>b", "so <</SYS>>!", "[1] [INST]", "<<SYS>> << x", "[INST]<<SYS>>"],
    "small letters": ["[inst]", "[/Inst]", "<<sys>>", "a <</Sys>> b", "x [iNST] y"],
    "blanks": ["[ INST ]", "[/ INST]", "x [ /INST ] y", "<< SYS >>", "<< /SYS>>", "< <SYS> >", "[IN ST]", "<</SY  S>>"],
    "other white space": ["[\tINST\n]", "[\r\n/INST\f]", "<<\u3000SYS\u00a0>>", "<<\n\n/\tSYS>>", "[I\nNST]"],
    "small letters and white space": ["[ inst ]", "[ /Inst\n]", "<< / sys >>", "<< sYs >>"],
    "no tags": ["Hello!", "", " ", "INST", "sys", "[1] and [2]", "an instance [of SYS]", "1 << 3 >> 2", "你好", "<SYS>",
        "[INSTALL]", "[INST", "/INST]", "[SYS]", "<<INST>>", "[INST x]", "[x INST]", "<<SYS>", "(INST)", "<<SYSTEM>>",
        "[]", "<<>>", "[TSNI]", "st [in] st", "[INS]", "<<SS>>", "[/SYS]"],
}  # fmt: skip

special_tags = exercise(right_special_tags, cases={
    name: lambda f, texts=texts: {text: f(text) for text in texts} for name, texts in _TEXTS.items()
}, mistakes={
    "Compare in one case: text.lower() and tag.lower().": [swap(".lower()", ""), swap("text.lower()", "text")],
    "Nothing is ever found: if the text is lowered, lower the tags as well; one tag is enough, any, not all.": [swap(
        "tag.lower()", "tag"), swap("any(", "all("), lambda text: False],
    "Take all white space out before you compare: ''.join(text.split()).": swaps(_JOIN, "text.lower()",
        "text.strip().lower()", '" ".join(text.lower().split())'),
    "Blanks are not the only white space: text.split() knows every kind.": [swap(_JOIN,
        f're.sub(r"[{gap}]", "", text.lower())') for gap in (" ", r" \n", r" \t", r" \n\t", r" \n\t\r\f")],
    "Capitals and white space can come together: lower, squeeze, then search.": swap(_IN,
        'tag in "".join(text.split()) or tag.lower() in text.lower()'),
    "The tags were searched as they are written. Drop capitals and white space first.": swap(_JOIN, "text",
        "tag.lower()", "tag"),
    "White space can be inside the word, too: [IN ST].": [lambda text, w=r"\s*", gap=gap: bool(re.search(
        rf"\[{w}/?{w}INST{w}\]|<{gap}<{w}/?{w}SYS{w}>{gap}>", text, re.I)) for gap in ("", r"\s*")],
    "Not all four tags are found: any(… for tag in SPECIAL_TAGS), no `return False` inside the loop.": [swap(
        "SPECIAL_TAGS", f"SPECIAL_TAGS[{part}]") for part in (":1", "3:", "2:", "::2", "1::2", ":3", "1:")],
    "<<SYS>> and <</SYS>> are not found: B_SYS and E_SYS hold line breaks, SPECIAL_TAGS has none.": swap("SPECIAL_TAGS",
        "(B_INST, E_INST, B_SYS, E_SYS)"),
    "That is upside down: True is expected if a tag is there.": swap("return any", "return not any"),
    "A tag can be anywhere in a text: `in`, not == or startswith.": swaps(_IN, "tag.lower() == squeezed",
        "squeezed.startswith(tag.lower())", "squeezed.endswith(tag.lower())"),
    "Harmless texts were refused. Only whole tags count: the word with its brackets.": [lambda text: True, lambda text:
        "[" in text or "<<" in text, lambda text: bool(re.search("inst|sys", text.lower())), *swaps("tag.lower() in",
        'tag.strip("[]</>").lower() in', "tag.lower()[:-1] in", "tag.lower()[1:] in")],
    "re takes [INST] for any of its letters: use `in`.": swap(_IN, "bool(re.search(tag.lower(), squeezed))"),
    "Without a tag nothing is returned: end with return False.": lambda text: right_special_tags(text) or None,
})  # fmt: skip
