"""Which chat format a checkpoint asks for: ChatML, a template of its own, or none; and a template for others to read.

A checkpoint names its format by a template, a little program in the language of jinja2. The two formats of the course,
Llama 2's and ChatML, are known by the marks that they use, and are laid out by code of ours, once it is seen that the
template means the same; any other is used as it is (template_format.py). A tokenizer carries the format as
`chat_format`; None is Llama 2's, which is in `chat.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from minillama.chat import SPECIAL_TAGS, ChatFormat, Dialog, Segment, label_tokens, llama_2_segments, segment_dialog
from minillama.formats.template_format import TemplateFormat
from minillama.tokenizer import BaseTokenizer
from minillama.words import say

TEMPLATE = "chat_template.jinja"
LARGEST = 2**20  # characters of a template
LLAMA_2_MARKS = ("[INST]", "<<SYS>>")
IM_START, IM_END = "<|im_start|>", "<|im_end|>"


class Llama2(ChatFormat):
    """Llama 2's format, where it stands for a template that seems to mean it."""

    tags, end_ids = SPECIAL_TAGS, ()

    def segments(self, tokenizer: BaseTokenizer, dialog: Dialog) -> list[Segment]:
        return llama_2_segments(tokenizer, dialog)


class ChatML(ChatFormat):
    """Every message between two tokens of its own, and the answer left open:

        <|im_start|>system\\n{system}<|im_end|>\\n<|im_start|>user\\n{user}<|im_end|>\\n<|im_start|>assistant\\n

    `system` stands in where a dialog has none; None for nothing. Contents are taken as they are.
    """

    tags = (IM_START, IM_END)

    def __init__(self, start_id: int, end_id: int, system: str | None = None):
        self.start_id, self.end_id, self.system = start_id, end_id, system
        self.end_ids = (end_id,)

    def segments(self, tokenizer: BaseTokenizer, dialog: Dialog) -> list[Segment]:
        """As `chat.segment_dialog`; the two tokens are labelled "bos" and "eos"."""
        messages = list(dialog)
        if self.system is not None and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": self.system}, *messages]
        segments = []
        for message in messages:
            role, content = message["role"], message["content"]
            segments.append(Segment("bos", [self.start_id]))
            segments += label_tokens(tokenizer, [("tag", f"{role}\n"), (role, content)])
            segments.append(Segment("eos", [self.end_id]))
            segments += label_tokens(tokenizer, [("tag", "\n")])
        return [*segments, Segment("bos", [self.start_id]), *label_tokens(tokenizer, [("tag", "assistant\n")])]


class NoChat(ChatFormat):
    """Why dialogs cannot be answered, while texts can be continued. template: of the checkpoint, if it has one."""

    tags, end_ids = (), ()

    def __init__(self, reason: str, template: str | None = None):
        self.reason, self.template = reason, template

    def segments(self, tokenizer: BaseTokenizer, dialog: Dialog) -> list[Segment]:
        raise ValueError(
            f"dialogs: {self.reason}, so a dialog cannot be laid out; name the format that this model was trained "
            f"with: chat_format='llama-2' or 'chatml' in Llama.build, --chat-format on the command line. "
            f"text_completion works"
        )


def read(folder: Path, settings: Mapping) -> str | None:
    """A folder's template: in a file of its own (transformers 5) or in tokenizer_config.json (before), `settings`."""
    path = folder / TEMPLATE
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(LARGEST + 1)
    template = settings.get("chat_template")
    if isinstance(template, list):  # several, by name
        named = [each for each in template if isinstance(each, dict) and each.get("name") == "default"]
        template = named[-1].get("template") if named else None
    return template if isinstance(template, str) else None


def recognise(template: str | None, tokenizer: BaseTokenizer, settings: Mapping | None = None) -> ChatFormat | None:
    """The format that a template describes, for texts of this tokenizer; None is Llama 2's. Nothing is run yet.

    settings: the fields of tokenizer_config.json, which name bos_token and others for the template.
    """
    if template is None or not template.strip():
        return NoChat("this checkpoint has no chat template", template)
    if len(template) > LARGEST:
        return NoChat(f"this checkpoint has a chat template of more than {LARGEST} characters")
    known: ChatFormat | None = None
    start_id, end_id = tokenizer.id_of(IM_START), tokenizer.id_of(IM_END)
    if all(mark in template for mark in LLAMA_2_MARKS):
        known = Llama2()
        if template == to_template(None):  # written here: tried once and for all
            return None
    elif IM_START in template and IM_END in template and start_id is not None and end_id is not None:
        known = ChatML(start_id, end_id, default_system(template))
        if template == to_template(known):
            return known
    return TemplateFormat(template, tokenizer, names_of(tokenizer, settings or {}), known)


def names_of(tokenizer: BaseTokenizer, settings: Mapping) -> dict[str, str]:
    """What a template is given as "bos_token", "eos_token" and, where the settings name them, "unk_token" …"""
    ids = {"bos_token": tokenizer.bos_id, "eos_token": tokenizer.eos_id}
    names = {name: tokenizer.pieces([i])[0] for name, i in ids.items() if i >= 0}
    for name, token in settings.items():
        token = token.get("content") if isinstance(token, dict) else token
        if name.endswith("_token") and isinstance(token, str):
            names[name] = token
        elif name in ids and token is None:  # said to have none
            names.pop(name, None)
    return names


def given_names(tokenizer: BaseTokenizer) -> dict[str, str | None]:
    """The same for tokenizer_config.json; None says that there is no such token."""
    if isinstance(tokenizer.chat_format, TemplateFormat):
        return {"bos_token": None, "eos_token": None} | tokenizer.chat_format.tokens
    return names_of(tokenizer, {})


def in_format(tokenizer: BaseTokenizer, name: str | None) -> BaseTokenizer:
    """The tokenizer with the chat format of this name, one of `arguments.CHAT_FORMATS`; None leaves it as it is.

    Raises ValueError if the tokenizer lacks a token that the format needs.
    """
    if name is None:
        return tokenizer
    made: ChatFormat | None = None
    if name == "none":
        made = NoChat("chat_format is 'none'")
    elif name == "chatml":
        start_id, end_id = tokenizer.id_of(IM_START), tokenizer.id_of(IM_END)
        if start_id is None or end_id is None:
            raise ValueError(
                f"chat_format is 'chatml', but the tokenizer has no tokens {IM_START} and {IM_END}; choose another"
            )
        made = ChatML(start_id, end_id)
    return tokenizer.with_format(made, tokenizer.stop_ids)


def described(tokenizer: BaseTokenizer) -> str:
    """The chat format of a tokenizer in a few words, for `info`: its name if it has one, and why if there is none.

    A template is run.
    """
    chat_format = tokenizer.chat_format
    try:
        segment_dialog(tokenizer, [{"role": "user", "content": "Hi"}])
        if isinstance(chat_format, TemplateFormat):
            own = say("the checkpoint's own template")
            return say("{name}, as {own} says", name=_name(chat_format.known), own=own) if chat_format.is_known else own
        return _name(chat_format)
    except ValueError as error:
        return say("none: {why}", why=str(error).removeprefix("dialogs: ").split("; name ")[0])


def _name(chat_format: ChatFormat | None) -> str:
    names = {type(None): "llama-2", Llama2: "llama-2", ChatML: "chatml"}
    return names.get(type(chat_format), type(chat_format).__name__)


def default_system(template: str) -> str | None:
    """The system message that a ChatML template writes where a dialog has none.

    >>> default_system(r"{{ '<|im_start|>system\\nYou are kind.<|im_end|>\\n' }}")
    'You are kind.'
    """
    found = re.search(r"<\|im_start\|>system(?:\\n|\n)([^<>{}'\"|+]+)<\|im_end\|>", template)
    return found.group(1).replace("\\n", "\n") if found else None


def to_template(chat_format: ChatFormat | None) -> str | None:
    """A template that tells other programs the format; None where none is known. A checkpoint's own stays as it is."""
    if isinstance(chat_format, NoChat | TemplateFormat):
        return chat_format.template
    if chat_format is None:
        return (
            "{% if messages[0]['role'] == 'system' %}{% set system, turns = messages[0]['content'], messages[1:] %}"
            "{% else %}{% set system, turns = none, messages %}{% endif %}"
            "{% for message in turns %}{% if message['role'] == 'user' %}"
            "{% if loop.first and system is not none %}"
            "{% set text = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] %}"
            "{% else %}{% set text = message['content'] %}{% endif %}"
            "{{ bos_token + '[INST] ' + text | trim + ' [/INST]' }}"
            "{% else %}{{ ' ' + message['content'] | trim + ' ' + eos_token }}{% endif %}{% endfor %}"
        )
    first = ""
    if chat_format.system is not None:
        system = chat_format.system.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
        system = f"{IM_START}system\\n{system}{IM_END}\\n"
        first = "{% if messages[0]['role'] != 'system' %}{{ '" + system + "' }}{% endif %}"
    return (
        first + "{% for message in messages %}"
        f"{{{{ '{IM_START}' + message['role'] + '\\n' + message['content'] + '{IM_END}\\n' }}}}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{{{{ '{IM_START}assistant\\n' }}}}{{% endif %}}"
    )
