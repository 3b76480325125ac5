"""What the notebooks need of their model. Where it is lacking the course's own model stands in, and a line says so.

$MINILLAMA_COURSE_MODEL may name another: without known probabilities, with a short context, or with files that are laid
out in another way.
"""

from __future__ import annotations

import dataclasses
import textwrap
from pathlib import Path

from minillama import allowed, checkpoint, parallel
from minillama.checkpoint import TOKENIZER
from minillama.files import listed, read_json
from minillama.formats import recognise
from minillama.generation import Llama
from minillama.model import ModelArgs
from minillama.shards import SHARD_NAME
from minillama.tokenizer import Tokenizer
from minillama.words import say

KNOWN = "known_probabilities.json"
INSTEAD = "This model {reason}: the course's own model stands in."
SHORT_ROUTE = {0, 1, 2, *range(6, 13), 17}  # the notebooks that never rely on 03 to 05
RARE = "My cat says: 龘 🦙!"  # spelt byte by byte where it has no tokens of its own


@allowed.only(
    any_text=allowed.flag, tokenizer=allowed.flag, by_hand=allowed.flag, room=allowed.count, ranks=allowed.count
)
def model_folder(
    any_text: bool = False, tokenizer: bool = False, by_hand: bool = False, room: int = 1, ranks: int = 1
) -> Path:
    """The folder of the model, or of the course's own where the model lacks what a notebook needs.

    any_text: tokens for every text, if need be for its bytes. tokenizer: a tokenizer.model. by_hand: it is in the
    folder, as are params.json with fields that ModelArgs has, and all weights in consolidated.00.pth. room: a context
    of so many tokens. ranks: so many processes can share it. Raises ValueError, which names the file, where there is no
    model or it cannot be read.

    >>> Llama.build(model_folder(room=64)).model.params.max_seq_len >= 64
    True
    """
    here = checkpoint.COURSE_MODEL
    reason = _lacking(here, any_text, tokenizer, by_hand, room, ranks)
    return _instead(reason) if reason and not _is_own(here) else here


def _lacking(here: Path, any_text: bool, tokenizer: bool, by_hand: bool, room: int, ranks: int) -> str:
    """What the model in a folder has not, or has otherwise, as the end of "This model …"; "" if it lacks nothing."""
    source = recognise(here)
    args = source.args
    if tokenizer and not isinstance(source.tokenizer(), Tokenizer):
        return say("has no {file}", file=TOKENIZER)
    if by_hand:
        if not (here / TOKENIZER).is_file():
            return say("has no {file} in its folder", file=TOKENIZER)
        if not (here / checkpoint.PARAMS).is_file():
            return say("has no {file}", file=checkpoint.PARAMS)
        known = {field.name for field in dataclasses.fields(ModelArgs)}
        if unknown := read_json(here / checkpoint.PARAMS).keys() - known:
            template = "has fields in {file} that are not explained here ({fields})"
            return say(template, file=checkpoint.PARAMS, fields=listed(unknown))
        if (n := sum(bool(SHARD_NAME.fullmatch(path.name)) for path in here.iterdir())) > 1:
            return say("has its weights in {n} files, which are the subject of notebook 13", n=n)
    if any_text:
        spelt = source.tokenizer()
        if spelt.decode(spelt.encode(RARE, bos=False, eos=False)) != RARE:
            return say("has a vocabulary that cannot spell every text")
    if args.max_seq_len < room:
        template = "has room for {n} tokens, and this notebook needs {room}"
        return say(template, n=args.max_seq_len, room=room)
    try:
        parallel.check_sizes(args, ranks)
    except ValueError:
        return say("has heads or hidden units that {ranks} ranks cannot share", ranks=ranks)
    return ""


@allowed.only(llama=allowed.an(Llama))
def known_probabilities(llama: Llama, *needed: str) -> tuple[Llama, dict[str, dict]]:
    """A Llama whose next tokens have known probabilities after some prompts, and these prompts by their id.

    llama: the notebook's. It is returned if its folder has known_probabilities.json, and in it the ids that are
    `needed`; else the course's own model is, built for as many rows and on the same device. A prompt is a dict with
    "prompt" or "dialog", "lang", "kind" and "options", each with "text" and "probability". Raises ValueError, which
    names the file, where it cannot be read.

    >>> course, known = known_probabilities(Llama.build(), "en-coin")
    >>> [option["text"] for option in known["en-coin"]["options"]]
    [' heads', ' tails']
    """
    here, reason = checkpoint.COURSE_MODEL, say("has no {file}", file=KNOWN)
    if (here / KNOWN).is_file() or _is_own(here):
        prompts = _read_known(here / KNOWN)
        if not (missing := set(needed) - prompts.keys()):
            return llama, prompts
        if _is_own(here):
            has = f"it has {listed(prompts, len(prompts))}"
            raise ValueError(f"needed: the course model has no {listed(missing)} in its {KNOWN}; {has}")
        reason = say("has no {ids} in its {file}", ids=listed(missing), file=KNOWN)
    own = _instead(say("{reason}, so the comparison with it is left out", reason=reason))
    rows = llama.model.params.max_batch_size
    return Llama.build(own, max_batch_size=rows, device=llama.device), _read_known(own / KNOWN)


def _read_known(path: Path) -> dict[str, dict]:
    try:
        return {each["id"]: each for each in read_json(path)["prompts"]}
    except (KeyError, TypeError) as error:
        raise ValueError(f"{str(path)!r}: expected a list of prompts, each with an id ({error!r})") from error


@allowed.only(llama=allowed.an(Llama), text=allowed.text)
def fitted(llama: Llama, text: str) -> str:
    """The text, or as much of its beginning as the model has room for: then a line says so.

    >>> fitted(Llama.build(), "Once upon a time")
    'Once upon a time'
    """
    room, beginning = llama.model.params.max_seq_len, text
    while (n := len(llama.tokenizer.encode(beginning, bos=True, eos=False))) > room and beginning:
        beginning = beginning[: -max(1, (n - room) // 8)]
    if beginning != text:
        template = "This model has room for {room} tokens: of {all} characters the first {n} are read."
        print(say(template, room=room, all=len(text), n=len(beginning)))
    return beginning


def _is_own(here: Path) -> bool:
    own = checkpoint.own_model()
    return here == own or (here.is_dir() and own.is_dir() and here.samefile(own))


def _instead(reason: str) -> Path:
    """The folder of the course's own model, after the line that says why."""
    print(say(INSTEAD, reason=reason))
    return checkpoint.own_model()


@allowed.only(text=allowed.text, width=allowed.count)
def wrapped(text: str, width: int = 80) -> str:
    """text as it is printed, in lines of at most `width` columns: a page breaks a longer line inside its words.

    Its own lines stay. A Chinese line has no spaces and may break anywhere, so it is left to the page, as is a longer
    word.

    >>> print(wrapped("Once upon a time,\\nthere was a cat.", width=9))
    Once upon
    a time,
    there was
    a cat.
    """
    lines = text.split("\n")
    return "\n".join(textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False) for line in lines)
