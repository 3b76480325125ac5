"""Chat formats other than Llama 2's, and which one a checkpoint asks for.

A checkpoint names its format by a template, a little program in a language called Jinja. It is never run: the two
formats of the table below are known by the marks that they use, and are laid out by code of ours. A tokenizer carries
the format as `chat_format`; None is Llama 2's, which is in `chat.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from minillama.chat import ChatFormat, Dialog, Segment, label_tokens
from minillama.tokenizer import BaseTokenizer

TEMPLATE = "chat_template.jinja"
LLAMA_2_MARKS = ("[INST]", "<<SYS>>")
IM_START, IM_END = "<|im_start|>", "<|im_end|>"


class ChatML(ChatFormat):
    """Every message between two tokens of its own, and the answer left open:

        <|im_start|>system\\n{system}<|im_end|>\\n<|im_start|>user\\n{user}<|im_end|>\\n<|im_start|>assistant\\n

    `system` stands in where a dialog brings none; None for nothing. Contents are taken as they are.
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
    """A checkpoint whose chat format is not known: texts can be continued, dialogs cannot be answered."""

    tags, end_ids = (), ()

    def __init__(self, reason: str):
        self.reason = reason

    def segments(self, tokenizer: BaseTokenizer, dialog: Dialog) -> list[Segment]:
        raise ValueError(
            f"dialogs: this checkpoint has {self.reason}, so a dialog cannot be laid out; known are Llama 2's format "
            f"and ChatML. text_completion works"
        )


def read(folder: Path, settings: dict) -> str | None:
    """A folder's template: in a file of its own (transformers 5) or in tokenizer_config.json (before), `settings`."""
    path = folder / TEMPLATE
    if path.is_file() and path.stat().st_size < 2**20:
        return path.read_text(encoding="utf-8", errors="replace")
    template = settings.get("chat_template")
    if isinstance(template, list):  # several, by name
        named = {each.get("name"): each.get("template") for each in template if isinstance(each, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else None


def recognise(template: str | None, id_of: Callable[[str], int | None]) -> ChatFormat | None:
    """The format that a template describes; None is Llama 2's. id_of gives the id of a special token, or None."""
    if template is None:
        return NoChat("no chat template")
    if all(mark in template for mark in LLAMA_2_MARKS):
        return None
    start_id, end_id = id_of(IM_START), id_of(IM_END)
    if IM_START in template and IM_END in template and start_id is not None and end_id is not None:
        return ChatML(start_id, end_id, default_system(template))
    return NoChat(f"an unknown chat template ({template[:60]!r} …)")


def default_system(template: str) -> str | None:
    """The system message that a ChatML template writes where a dialog has none.

    >>> default_system(r"{{ '<|im_start|>system\\nYou are kind.<|im_end|>\\n' }}")
    'You are kind.'
    """
    found = re.search(r"<\|im_start\|>system(?:\\n|\n)([^<>{}'\"|+]+)<\|im_end\|>", template)
    return found.group(1).replace("\\n", "\n") if found else None


def to_template(chat_format: ChatFormat | None) -> str | None:
    """A template that tells other programs the format; None where none is known. Written here, run there."""
    if isinstance(chat_format, NoChat):
        return None
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
        system = chat_format.system.replace("\n", "\\n")
        system = f"{IM_START}system\\n{system}{IM_END}\\n"
        first = "{% if messages[0]['role'] != 'system' %}{{ '" + system + "' }}{% endif %}"
    return (
        first + "{% for message in messages %}"
        f"{{{{ '{IM_START}' + message['role'] + '\\n' + message['content'] + '{IM_END}\\n' }}}}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{{{{ '{IM_START}assistant\\n' }}}}{{% endif %}}"
    )
