"""Checks of the exercises on the chat format."""

import re
from itertools import combinations
from types import SimpleNamespace

from minillama.chat import B_INST, B_SYS, E_INST, E_SYS, SPECIAL_TAGS, UNSAFE_ERROR, has_special_tags
from minillama.chat import encode_dialog as ids_of
from minillama.check.exercise import Watched, exercise, swap, swaps
from minillama.check.judge import Wrong
from minillama.tokenizer import SPACE, BaseTokenizer
from minillama.words import say


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
    try:
        return bytes(list(ids)).decode(errors="backslashreplace").translate({3: "⟨bos⟩", 5: "⟨eos⟩", 32: SPACE})
    except (TypeError, ValueError):
        raise Wrong(say("Expected one list of ids. Pass each text to tokenizer.encode; + joins lists.")) from None


def messages(*contents: str, system: str | None = None) -> list[dict[str, str]]:
    first = [] if system is None else [{"role": "system", "content": system}]
    return first + [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(contents)]


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


_OFTEN = {  # each of them alone, every two together, and the first three
    "A space is missing after the answer: f'… {answer} '.": ("{answer} ", "{answer}"),
    "Each pair and the last turn need a bos of their own: bos=True.": ("bos=True", "bos=not ids"),
    "You closed the last turn, but it must stay open: eos=False.": ("eos=False", "eos=1"),
    "A pair that was answered ends with eos: eos=True.": ("eos=True", "eos=0"),
    "Strip every content, all white space at both ends: content.strip().": (".strip()", ""),
    "The system text is lost. Fold it into the first user's text.": ('"content": folded', "**dialog[1]"),
}
_ONE, _USER = ("[]\n", "''\n", "+= tokenizer.encode", "+= ", ", bos=True, eos=True", ""), '1]["content"]\n'
_TYPED, _ENDS = ('f"', 'f"<s>', "{answer} ", "{answer} </s>"), ("ids + tokenizer.encode(", "T.encode(ids + ")

encode_dialog = exercise(right_encode_dialog, cases={
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
    "Each pair and the last turn need a bos of their own: bos=True.":
        [*swaps("bos=True", "bos=not ids", "bos=False"), swap("bos=True, eos=False", "bos=False, eos=False")],
    "bos and eos were typed, as '<s>' or as 1 and 2. Let encode write them: bos=True, eos=True.": [swap(*_TYPED,
        "=True", "=0"), swap(*_TYPED, *_ONE, *_ENDS), swap(*_TYPED, *_ONE, *_ENDS, "bos=True", "bos=0"), swap("+= t",
        "+= [1] + t", "bos=True, eos=True)", "0, 0) + [2]", "ids + ", "ids + [1] + ", "bos=True", "bos=0")],
    "All pairs became one text. Encode each pair by itself, with its own bos and eos.": swap(*_ONE, *_ENDS),
    "The last user turn is missing: encode contents[-1] too.": [swap("ids + t", "ids; t"), swap("[-1]", "[0]")],
    "Pairs are missing or out of place: zip(contents[::2], contents[1::2]), the oldest first.":
        [swap("+= ", "= "), swap("return ids + ", "return "), swap("s[::2]", "s[1::2]", ", contents[1", ", contents["),
         lambda t, d: right_encode_dialog(t, d[-1:])],
    "Strip every content, all white space at both ends: content.strip().":
        swaps("content\"].strip()", *(f"content\"]{way}" for way in ("", ".strip(' ')", r".strip('\n')", ".lstrip()",
            ".rstrip()", ".strip().replace('  ', ' ')", *(f".strip() if {which} else message['content']" for which in (
            "message is not dialog[-1]", "message['role'] == 'user'", "'<<SYS' not in message['content']"))))),
    "A text was stripped before it was folded. Fold first, then strip the whole.": [swap('t"] + E', 't"].strip() + E'),
        *(swap('t"] + E', 't"]' + first + " + E", _USER, '1]["content"].strip()\n') for first in ("", ".strip()"))],
    "The system message was taken for a user's turn. Fold it into the first user's text.":
        [swap('"system"', '"System"'), swap(' + dialog[1]["content"]', "", "dialog[2:]", "dialog[1:]")],
    "The first user's text is there twice: after folding go on with dialog[2:].": swap("dialog[2:]", "dialog[1:]"),
    "The folded text is B_SYS + system + E_SYS + user: a part or a line break is missing, too much, or misplaced.":
        [*(swap("B_SYS", begin, "E_SYS", end) for begin in ("B_SYS", "B_SYS.strip()", r"B_SYS + '\n'", "''")
         for end in ("E_SYS", "E_SYS.strip()", r"'\n' + E_SYS", "''", "' '", r"'\n'") if begin + end != "B_SYSE_SYS"),
         swap("ed = ", "ed = dialog[1]['content'] + ", _USER, "0]['content'][:0]\n"), swap("S +", "S + ' ' +"), swap(
         "dialog[1]", "dialog[-1]", 'dialog = [{"', 'dialog = [*dialog[1:-1], {"', ", *dialog[2:]", ""), swap(
         "*dialog[2:]", "*({**m, 'content': folded.replace(dialog[1]['content'], m['content'])} if m['role'] == 'user' "
         "else m for m in dialog[2:])")],
    "The last turn ends with [/INST], without a space: the answer brings its own.": swap('{E_INST}"', '{E_INST} "'),
    "A tag or a space is missing, wrong or doubled: encode f'{B_INST} {prompt} {E_INST} {answer} ' as one text.":
        [*swaps("{B_INST} ", "{B_INST}", ""), *swaps(" {E_INST}", "{E_INST}", ""), swap("E_INST", "B_INST"), swap(
         ' {E_INST}"', '"'), *swaps("{E_INST} ", "{E_INST}", "{E_INST}  "), swap("r} ", "r}  "), *(swap("{B_INST} ",
         "{B_INST}" + gap, " {E_INST} ", gap + "{E_INST}" + gap, '} {E_INST}"', "}" + gap + '{E_INST}"') for gap in ("",
         "  "))],
    "The dialog that was given has changed. Make new messages: {'role': …, 'content': …}.":
        lambda t, d: (right_encode_dialog(t, d), d[0]["role"] == "system" and d.pop(0))[0],
}, look=lambda ids: [spell(ids)] if isinstance(ids, list | str) else ids)  # fmt: skip


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
_CHATS = {
    "two pairs and a question, all right": "(QA )(QA )(Q",
    "one question, all right": "(Q",
    "bos before the first turn only": "(QA )QA )Q",
    "no bos before the second turn": "(QA )QA )(Q",
    "no bos before the first turn": "QA )(QA )(Q",
    "no bos at all": "QA )Q",
    "eos after the open turn": "(QA )(QA )(Q)",
    "a space and eos after the open turn": "(QA )(Q )",
    "one question, and eos after it": "(Q)",
    "no space after any answer": "(QA)(QA)(Q",
    "no space after the first of three answers": "(QA)(QA )(QA )(Q",
    "no space after the second of three answers": "(QA )(QA)(QA )(Q",
    "no space after the last answer": "(QA )(QA)(Q",
    "all three faults": "(QA)QA)Q)",
    "a bos and a space are missing": "(QA)Q",
    "<s> and </s> typed by the user, all right": "( [INST] <s> or </s> [/INST]A )( [INST] <s> [/INST]",
}
_IDS = {name: list(signs.translate(str.maketrans(_SIGNS)).encode()) for name, signs in _CHATS.items()}

chat_faults = exercise(right_chat_faults, cases={name: (T, ids) for name, ids in _IDS.items()}, mistakes={
    "'bos' is a fault if any turn has none: count bos and [INST].": swaps(_BOS, "ids[0] != 3", "3 not in ids",
        "ids.count(3) != 1", "ids.count(3) != ids.count(5) + 1", "ids.count(3) != ids.count(5)"),
    "decode leaves bos out, and a typed '<s>' is text. Count bos by its id: ids.count(tokenizer.bos_id).":
        swaps("ids.count(tokenizer.bos_id)", "T.decode(ids).count('<s>')", "''.join(T.pieces(ids)).count('<s>')"),
    "One `if` is the wrong way round or never true. Each fault needs its own, true where the fault is.":
        [*swaps(_EOS, "0", "ids[-2] == 5", "ids[-1] != 5"), *swaps(_BOS, "0", _BOS.replace("!=", ">"), _BOS.replace(
         "!=", "==")), swap("any(", "0 and any("), swap('!= b" "', '== b" "')],
    "For 'eos' only the very last id counts.": swaps(_EOS, "5 in ids", "ids.count(5) > 1"),
    "The very last id ends no answer. For 'space' leave it out: ids[:-1].": swap("ids[:-1]", "ids"),
    "'space' is a fault if any answer lacks its space, not only the first, the last or all.":
        [swap("any(", "5 in ids[:-1] and all("), *swaps("i == t", "5 not in ids[:k] and i == t",
         "5 not in ids[k + 1 : -1] and i == t")],
    "A space was not seen: look at ids[k - 1]; token_bytes gives b' ', and decode drops a first space.":
        [swap('b" "', '" "'), *swaps("[k - 1]", "[k]", "[k + 1]")],
    "Name every fault: do not use `elif` or an early `return`.": swaps("n found", "n found[:1]", "n found[-1:]"),
    "Return only the names, in a list; if nothing is wrong, an empty one: [].": swaps("n found", "n found or None",
        'n found or ["none"]', 'n {n: n in found for n in ("bos", "eos", "space")}', 'n ", ".join(found)'),
    "The ids 1 and 2 were typed. Take tokenizer.bos_id and tokenizer.eos_id.":
        [swap("tokenizer.bos_id", one, "tokenizer.eos_id", two) for one, two in (("1", "2"), ("1", "5"), ("3", "2"))],
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


def chats(*dialogs: list[dict[str, str]]):
    """A case: what came back, and what was run, in one call or in several."""

    def case(f):
        llama = SimpleNamespace(tokenizer=T, generate=Watched(_generate))
        results, keys = f(llama, list(dialogs))[:], ("content", "ids", "logprobs")
        if not all(isinstance(each, dict) and each.keys() >= {*keys} for each in results):
            raise Wrong(say("Expected a list of dicts, each with the keys 'content', 'ids' and 'logprobs'."))
        results = [{key: each[key] for key in keys} for each in results]
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
    "tags in earlier turns": chats(GOOD, messages("a", "<<SYS>>", "c"), TALK, messages("[INST]", "b", "c")),
    "tags in a system text": chats(TALK, messages("Hi", system="<</SYS>>"), messages("Hi", system="Be kind.")),
    "the model answers nothing": chats(messages("Why?"), BAD, GOOD),
}, mistakes={
    "A dialog with tags was run. Refuse it before generate, not after.":
        [swap(_IF, "", _TEXT, f"UNSAFE_ERROR if has_special_tags(dialogs[k]) else {_TEXT}"), swap(_IF, "", "] = {",
         "] = results[k] if has_special_tags(dialogs[k]) else {")],
    "A dialog with tags was not refused. All messages and all four tags count: has_special_tags(dialog).":
        [swap(_IF, ""), *swaps("has_special_tags(dialog)", *(f"has_special_tags({one})" for one in ("dialog[-1:]",
         "dialog[:1]", "[m for m in dialog if m['role'] == 'user']", "[m for m in dialog if m['role'] != 'system']")),
         *(f"any({t!r} in m['content'] for m in dialog)" for t in ("INST]", "[INST]", "SYS>>")))],
    "A dialog without tags was refused. Decide for each dialog by itself.": [swap("if not has", "if has"), swap(_IF,
        "if not any(map(has_special_tags, dialogs))"), swap("if allowed:", "if False:")],
    "Every dialog needs a result, even a refused one.": swap("return results", "return [results[k] for k in allowed]"),
    "Each result must be in its dialog's place: row n answers the n-th dialog that was run.": swaps("zip(allowed,",
        "zip(range(len(rows)),", "zip(range(len(dialogs) - len(rows), len(dialogs)),", "zip(allowed[::-1],"),
    "Nothing is left to run here, so do not call generate.": swap("if allowed:", "if True:"),
    "A refused dialog has two empty lists: 'ids': [] and 'logprobs': [].":
        swaps(_EMPTY, '"ids": None, "logprobs": None', '"ids": [], "logprobs": None', '"ids": "", "logprobs": ""'),
    "Return a refusal, do not raise: the other dialogs still need answers.":
        swaps("    if all", *(f"    if len(allowed) < len(dialogs): raise {error}\n    if all" for error in (
            "ValueError(0)", "AssertionError"))),
    "The prompt is encode_dialog(llama.tokenizer, dialog): the whole dialog, in the chat format.": [swap("dialogs[k])",
        "dialogs[k][-1:])"), swap("ids_of(llama.tokenizer, dialogs[k])", "T.encode(dialogs[k][-1]['content'], 1, 0)")],
    "Ask for 20 new tokens at temperature=0, as faulty_chat does.": [*swaps(", temperature=0", "", ", temperature=0.6",
        ", temperature=1"), *swaps("20", *map(str, (10, 16, 21, 30, 32, 50, 64, 100, None)))],
    "The logprobs are missing. Ask for them with logprobs=True, and pass them on.": swaps("scores}", "[]}", "None}"),
    "'ids' are the ids that generate returned for this dialog, without the prompt.": [*swaps('"ids": ids',
        '"ids": rows', '"ids": []', '"ids": prompts[0]'), swap("bs=True)", "bs=True, echo=True)")],
    "The content is llama.tokenizer.decode(ids), even if it is ''.": swaps(_TEXT, "ids", f"{_TEXT} or UNSAFE_ERROR"),
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
    "Ignore case: use text.lower() and tag.lower().": [swap(".lower()", ""), swap("text.lower()", "text")],
    "Nothing is ever found: if the text is lowered, lower the tags as well; one tag is enough, any, not all.":
        [swap("tag.lower()", "tag"), swap("any(", "all("), lambda text: False],
    "Take all white space out before you compare, not only spaces: ''.join(text.split()).":
        swaps(_JOIN, "text.lower()", "text.lower().split()", "text.strip().lower()", '" ".join(text.lower().split())',
            *(f're.sub(r"[{x}]", "", text.lower())' for x in (" ", r" \n", r" \t", r" \n\t", r" \n\t\r\f"))),
    "A tag can have both capitals and spaces: remove both, then search.": [swap(_JOIN, "text", "tag.lower()",
        "tag"), swap(_IN, 'tag in "".join(text.split()) or tag.lower() in text.lower()')],
    "White space can be anywhere in a tag: [IN ST], [/ INST].": [lambda text, w=w: bool(re.search(
        rf"\[\s*/?{w}INST\s*\]|<<\s*/?{w}SYS\s*>>", text, re.I)) for w in ("", r"\s*")],
    "Not all four tags are found: any(… for tag in SPECIAL_TAGS), not `return False` in the loop.":
        swaps("SPECIAL_TAGS", *(f"SPECIAL_TAGS[{part}]" for part in (":1", "3:", "2:", "::2", "1::2", ":3", "1:"))),
    "<<SYS>> and <</SYS>> are not found: B_SYS and E_SYS hold line breaks, SPECIAL_TAGS has none.":
        swaps("SPECIAL_TAGS", "(B_INST, E_INST, B_SYS, E_SYS)"),
    "That is the wrong way round: expected True if a tag is there.": swap("return any", "return not any"),
    "A tag can be anywhere in a text: `in`, not == or startswith.":
        swaps(_IN, "tag.lower() == squeezed", "squeezed.startswith(tag.lower())", "squeezed.endswith(tag.lower())"),
    "Harmless texts were refused. Only whole tags count: the word with its brackets.":
        [lambda text: True, lambda text: "[" in text or "<<" in text, lambda text: bool(re.search("inst|sys",
         text.lower())), *swaps("tag.lower() in", 'tag.strip("[]</>").lower() in', "tag.lower()[:-1] in",
         "tag.lower()[1:] in", r're.sub(r"\W", "", tag.lower()) in re.sub(r"\W", "", text.lower()) or tag in')],
    "In re, [INST] means any one of its letters: use `in`.": swap(_IN, "bool(re.search(tag.lower(), squeezed))"),
    "Return True or False: any(…), or False after the loop.":
        [lambda text: right_special_tags(text) or None, swap("any(", "sum("), swap("any(",
         "next((tag for tag in SPECIAL_TAGS if ", " for tag in SPECIAL_TAGS)", "), None)")],
})  # fmt: skip
