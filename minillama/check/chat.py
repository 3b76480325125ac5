"""Checks of the exercises on the chat format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

from minillama.chat import B_INST, B_SYS, E_INST, E_SYS, UNSAFE_ERROR, Dialog, has_special_tags
from minillama.chat import encode_dialog as right_ids
from minillama.check.former import Wrong, call, judge
from minillama.check.report import Report
from minillama.tokenizer import BaseTokenizer


class Spelling(BaseTokenizer):
    """A tokenizer of one id a byte. As sentencepiece does, it puts a space before every text: seams can be seen."""

    def __init__(self):
        super().__init__([b"", b"", b"", *(bytes([byte]) for byte in range(256))])

    def encode(self, s: str, bos: bool, eos: bool) -> list[int]:
        text = f" {s}" if s else ""
        return [self.bos_id] * bos + [byte + 3 for byte in text.encode()] + [self.eos_id] * eos

    def pieces(self, t: Sequence[int]) -> list[str]:
        names = [
            ("<unk>", "<s>", "</s>")[i] if i < 3 else self.decode_bytes([i]).decode("latin-1") for i in map(int, t)
        ]
        return [name.replace(" ", "▁") for name in names]

    def show(self, t: Sequence[int]) -> str:
        """ids as they are read: <s> and </s> for bos and eos, ▁ for a space."""
        data = b"".join(b"\0%d\0" % i if i < 3 else self.token_bytes(i) for i in t)
        text = data.decode(errors="replace").replace(" ", "▁").replace("\n", "\\n")
        return text.replace("\0001\0", "<s>").replace("\0002\0", "</s>").replace("\0000\0", "<unk>")


def messages(*contents: str, system: str | None = None) -> list[dict[str, str]]:
    first = [] if system is None else [{"role": "system", "content": system}]
    return first + [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(contents)]


# ---- a dialog becomes ids

MISTAKES = {  # what `_spell` does otherwise, and the hint
    "space": "The space behind an answer is missing. The text of a pair ends in one: f'… {answer} '.",
    "bos": "bos stands at the very beginning only. Each pair, and the last turn, begins with its own: bos=True.",
    "open": "The last user turn is closed by eos. It is still open, the model goes on with it: eos=False.",
    "eos": "A pair that was answered ends in eos: eos=True.",
    "last": "The last user turn is missing. zip leaves it over: encode dialog[-1] alone.",
    "strip": "Contents are stripped before they go between the tags: content.strip().",
    "lost": "The system text is lost. Fold it into the first user's text.",
    "turn": "The system message was taken for a turn. Fold it into the first user's text, then leave it out.",
    "always": "The system text stands in the first user turn only, not in every one.",
    "bare": "The line breaks around the system text are missing. They belong to B_SYS and E_SYS: use those names.",
    "early": "Fold first, then strip the folded text as one. Here the texts were stripped before they met.",
    "behind": "A space stands behind the last [/INST]. The open turn ends in the tag: the answer brings its own space.",
    "tight": "A space is missing at the tags. Each content has one on both sides: f'{B_INST} {prompt} {E_INST} …'.",
    "seams": "Tags and contents were encoded one by one: each got a space of its own. Build the text, encode it once.",
}


def encode_dialog(function: Callable) -> Report:
    """Judge f(tokenizer, dialog): the ids of a dialog, a system message folded in, ready to be answered."""
    pair = messages("Hi", "Hello!", "Bye")
    long = messages("One?", "1", "Two?", "2", "Three?")

    def case(dialog: Dialog) -> Callable[[Callable], None]:
        return lambda f: _expect_ids(f, dialog)

    return judge(
        function,
        [
            ("one question", case(messages("Hi"))),
            ("a pair, then a question", case(pair)),
            ("two pairs, then a question", case(long)),
            ("spaces around the contents", case(messages(" Hi\n", "\n Hello! ", "\tBye "))),
            ("Chinese", case(messages("你好", "你好！", "再见"))),
            ("a system text", case(messages("Hi", system="Be kind."))),
            ("a system text and two pairs", case([*messages(system="Be kind."), *long])),
            ("spaces where the system text ends", case(messages(" Hi ", "Hello!", "Bye", system="Be kind. "))),
        ],
    )


def _expect_ids(f: Callable, dialog: Dialog) -> None:
    tokenizer = Spelling()
    got = call(f, tokenizer, dialog)
    if not isinstance(got, list):
        raise Wrong(f"A list of ids is due, your function returned {type(got).__name__}. Is there a `return`?")
    if any(isinstance(each, list) for each in got):
        raise Wrong("These are lists in a list. Add them up: sum(lists, []).")
    if not all(isinstance(i, int) for i in got):
        raise Wrong(f"Ids are whole numbers, one of yours is {type(got[0]).__name__}: text must go through encode.")
    due = right_ids(tokenizer, dialog)
    if got == due:
        return
    if any(not 0 <= i < tokenizer.n_words for i in got):
        raise Wrong(
            "Some ids are not of the tokenizer that your function was given. Call tokenizer.encode, its argument."
        )
    for n in (1, 2):
        for names in combinations(MISTAKES, n):
            if _spell(tokenizer, dialog, *names) == got:
                raise Wrong("\n".join([*(MISTAKES[name] for name in names), *_difference(tokenizer, due, got)]))
    raise Wrong("\n".join(["The ids differ here (▁ is a space):", *_difference(tokenizer, due, got)]))


def _difference(tokenizer: Spelling, due: list[int], got: list[int]) -> list[str]:
    """Both around the first place where they differ."""
    a, b = tokenizer.show(due), tokenizer.show(got)
    first = next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    start = max(0, first - 30)
    return [f"{name} {'…' * bool(start)}{text[start : first + 30]}" for name, text in (("due  ", a), ("yours", b))]


def _spell(tokenizer, dialog: Dialog, *faults: str) -> list[int]:
    """The ids of a dialog, with some of MISTAKES."""
    turns = list(dialog)
    if turns[0]["role"] == "system" and "turn" not in faults:
        system = turns.pop(0)["content"]
        tags = (B_SYS.strip(), E_SYS.strip()) if "bare" in faults else (B_SYS, E_SYS)
        for k in range(0, len(turns) if "always" in faults else 1, 2):
            own = turns[k]["content"]
            if "early" in faults:
                system, own = system.strip(), own.strip()
            if "lost" not in faults:
                turns[k] = {"role": "user", "content": tags[0] + system + tags[1] + own}
    texts = [turn["content"] if "strip" in faults else turn["content"].strip() for turn in turns]
    asked, answered = texts[::2], texts[1::2]
    rows = [[B_INST, prompt, E_INST, answer] for prompt, answer in zip(asked, answered, strict=False)]
    rows += [] if "last" in faults else [[B_INST, texts[-1], E_INST]]
    ids = []
    for k, row in enumerate(rows):
        closed = len(row) == 4 and "eos" not in faults or len(row) == 3 and "open" in faults
        bos = k == 0 or "bos" not in faults
        if "seams" in faults:
            parts = [f"{B_INST} ", row[1], f" {E_INST}", *(f" {answer} " for answer in row[3:])]
            middle = sum((tokenizer.encode(part, bos=False, eos=False) for part in parts), [])
        else:
            end = " " if len(row) == 4 and "space" not in faults else ""
            end = " " if "behind" in faults and len(row) == 3 else end
            middle = tokenizer.encode(("" if "tight" in faults else " ").join(row) + end, bos=False, eos=False)
        ids += [tokenizer.bos_id] * bos + middle + [tokenizer.eos_id] * closed
    return ids


# ---- which fault do these ids have?

FAULTS = {
    "bos": "'bos': each [INST] … begins a text, so there must be as many bos as [INST].",
    "eos": "'eos': the last user turn is open, so the last id must not be eos.",
    "space": "'space': before each eos behind an answer stands a space, a token of its own.",
}


def chat_faults(function: Callable) -> Report:
    """Judge f(tokenizer, ids): a list of the faults "bos", "eos", "space" that the ids of a dialog have."""
    long = messages("One?", "1.", "Two?", "2.", "Three?")

    def case(dialog: Dialog, *faults: str) -> Callable[[Callable], None]:
        names = ["open" if fault == "eos" else fault for fault in faults]
        return lambda f: _expect_faults(f, _spell(Spelling(), dialog, *names), faults)

    def second_only(f: Callable) -> None:
        first, rest = _spell(Spelling(), messages("A", "B", "C"), "last"), _spell(Spelling(), long, "space")
        _expect_faults(f, first + rest, ("space",))

    return judge(
        function,
        [
            ("two pairs and a question, all right", case(long)),
            ("one question, all right", case(messages("Hi"))),
            ("bos at the very beginning only", case(long, "bos")),
            ("the last user turn closed by eos", case(long, "eos")),
            ("no space behind the answers", case(long, "space")),
            ("all three", case(long, "bos", "eos", "space")),
            ("one question closed by eos", case(messages("Hi"), "eos")),
            ("the space is missing, but not in the first answer", second_only),
            ("a user who types <s> and </s>", case(messages("<s> or </s>?", "Text.", "I see."))),
        ],
    )


def _expect_faults(f: Callable, ids: list[int], due: Sequence[str]) -> None:
    tokenizer = Spelling()
    got = call(f, tokenizer, ids)
    if not isinstance(got, list | tuple | set):
        raise Wrong(f"A list of names is due, your function returned {type(got).__name__}. Is there a `return`?")
    if strange := [each for each in got if each not in FAULTS]:
        raise Wrong(f"The names are {list(FAULTS)}; one of yours is {strange[0]!r}.")
    shown = tokenizer.show(ids)
    if missing := [name for name in due if name not in got]:
        raise Wrong(f"{shown}\nA fault was not found. {FAULTS[missing[0]]}")
    if extra := [name for name in got if name not in due]:
        more = {
            "bos": "Count bos by its id, and [INST] in the decoded text; typed '<s>' is text.",
            "eos": "The eos behind an answer is right; only the very last id counts here.",
            "space": "Look at the token just before each eos, and leave the very last id out.",
        }
        raise Wrong(f"{shown}\nYou report {extra[0]!r}, which is not there. {more[extra[0]]}")


# ---- a check that runs before the model does


class Recorder:
    """A Llama that answers at once and notes what it was asked to run."""

    def __init__(self):
        self.tokenizer, self.runs, self.empty = Spelling(), [], False

    def generate(self, prompt_tokens, max_gen_len, *_, logprobs=False, **__):
        if not prompt_tokens:
            self.empty = True
            raise ValueError("prompt_tokens is empty")
        self.runs += prompt_tokens
        rows = [self.answer(prompt) for prompt in prompt_tokens]
        return rows, [[-0.5 - len(row)] * len(row) for row in rows] if logprobs else None

    def answer(self, prompt: Sequence[int]) -> list[int]:
        """Some ids that depend on the prompt."""
        asked = self.tokenizer.decode(prompt).split(f"{B_INST} ")[-1].removesuffix(f" {E_INST}")
        return self.tokenizer.encode(f"You said {asked}", bos=False, eos=False)


def guarded_chat(function: Callable) -> Report:
    """Judge f(llama, dialogs): a dict (content, ids, logprobs) for each; dialogs with tags refused and never run."""
    good, bad = messages("Hi"), messages("x [/INST] y")
    other, old = messages("a", "b", "See you"), messages("a", "<<SYS>>", "c")

    def case(*dialogs: Dialog) -> Callable[[Callable], None]:
        return lambda f: _expect_guarded(f, list(dialogs))

    return judge(
        function,
        [
            ("nothing to refuse", case(good, other)),
            ("the only dialog is refused", case(bad)),
            ("the second of two is refused", case(good, bad)),
            ("the first is refused: every answer in its place", case(bad, good, other)),
            ("tags in an earlier message", case(good, old, other)),
        ],
    )


def _expect_guarded(f: Callable, dialogs: list[Dialog]) -> None:
    llama = Recorder()
    refused = [has_special_tags(dialog) for dialog in dialogs]
    prompts = [right_ids(llama.tokenizer, dialog) for dialog in dialogs]
    try:
        got = call(f, llama, dialogs)
    except ValueError:
        if llama.empty:
            raise Wrong(
                "All dialogs were refused, and generate was called with an empty list. Then do not call it."
            ) from None
        raise
    if not isinstance(got, list):
        raise Wrong(f"A list with a dict for each dialog is due, your function returned {type(got).__name__}.")
    if any(prompt in llama.runs for prompt, bad in zip(prompts, refused, strict=True) if bad):
        raise Wrong("A dialog with tags was run all the same. Sort it out before generate, not after.")
    if len(got) != len(dialogs):
        raise Wrong(f"{len(dialogs)} dialogs came in, {len(got)} results came out. A refused dialog has a result, too.")
    if len({id(each) for each in got}) < len(got):
        raise Wrong(
            "All results are one and the same dict: `[d] * n` does not copy it. Make a new one for each dialog."
        )
    for k, (each, prompt, bad) in enumerate(zip(got, prompts, refused, strict=True)):
        if not isinstance(each, dict) or not {"content", "ids", "logprobs"} <= each.keys():
            raise Wrong(
                f"Result {k} should be a dict with the keys 'content', 'ids' and 'logprobs', it is {each!r:.80}."
            )
        ids = [] if bad else llama.answer(prompt)
        content = UNSAFE_ERROR if bad else llama.tokenizer.decode(ids)
        if str(each["content"]).strip() != content:
            swapped = bad or each["content"] == UNSAFE_ERROR
            hint = " The dialogs that were run have their own count: keep the order." if swapped else ""
            raise Wrong(f"Result {k}: content {each['content']!r:.60}, due {content!r}.{hint}")
        if bad and (each["ids"] or each["logprobs"]):
            raise Wrong(f"Result {k} is refused, but still holds ids or logprobs: they leak. Empty lists are due.")
        if each["ids"] is None or bad and each["logprobs"] is None:
            raise Wrong(f"Result {k} holds None. A result has two lists; those of a refused dialog are empty: [].")
        if list(each["ids"]) != ids:
            raise Wrong(f"Result {k}: the ids are not those that generate gave for this dialog.")
        if list(each["logprobs"] or []) != [-0.5 - len(ids)] * len(ids):
            raise Wrong(f"Result {k}: the logprobs are not those that generate gave. Pass logprobs=True.")


# ---- a check for tags that sees through spaces and letters

TAGGED = ("[INST]", "x [/INST] y", "<<SYS>>", "a<</SYS>>b")
CASES = ("[inst]", "[/Inst]", "<<sys>>", "<</Sys>>")
SPACED = ("[ INST ]", "[/ INST]", "[ /INST ]", "<< SYS >>", "<< /SYS>>", "[\tINST\n]", "< <SYS> >")
HARMLESS = ("Hello!", "", "INST", "[1] and [2]", "an instance [of SYS]", "1 << 3 >> 2", "<SYS>", "[INSTALL]", "你好")


def special_tags(function: Callable[[str], bool]) -> Report:
    """Judge f(text): whether the text holds a tag of the format, in any case and with spaces in it."""

    def case(texts: Sequence[str], due: bool, hint: str) -> Callable[[Callable], None]:
        def run(f: Callable) -> None:
            for text in texts:
                got = call(f, text)
                if not isinstance(got, bool):
                    raise Wrong(f"True or False is due, for {text!r} your function returned {type(got).__name__}.")
                if got != due:
                    raise Wrong(f"{text!r}: due {due}, yours {got}. {hint}")

        return run

    return judge(
        function,
        [
            (
                "the tags themselves",
                case(TAGGED, True, "There are four tags: see SPECIAL_TAGS. `in` finds one in a text."),
            ),
            ("in small letters", case(CASES, True, "Compare in one case: text.lower() and tag.lower().")),
            ("with spaces", case(SPACED, True, "Take all white space out before you compare: ''.join(text.split()).")),
            ("harmless texts", case(HARMLESS, False, "Only whole tags count, brackets included.")),
            ("capitals and spaces at once", case(("[ inst ]", "<< / sys >>"), True, "Do both, one after the other.")),
        ],
    )
