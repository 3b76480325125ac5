"""Classical Chinese quatrains, asked for by a character: "写一首关于月的诗"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import NamedTuple

from training.corpus.document import HELD_OUT, Document, chat_texts
from training.corpus.poems import LINE, MARKS, count_characters, load_poems
from training.corpus.tables import is_secret

SHARES = {"character": 0.78, "any": 0.14, "plain": 0.08}  # asked for by a character; without one; not asked for

# What one would ask a poem to be about. A poem answers a request for one of its first two characters, so that the
# answer shows at once whether the request was understood.
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
    "来一首带“{x}”字的诗。", "请写一首关于{x}的诗", "写首关于{x}的诗吧。", "来首关于{x}的诗",
    "你能写一首关于{x}的诗吗？", "我想要一首关于{x}的诗。", "帮我写一首关于{x}的诗。", "写一首带“{x}”字的诗",
    "请以“{x}”为题写一首诗", "念一首关于{x}的诗。", "写一首咏{x}的诗", "用“{x}”字写一首诗。",
)  # fmt: skip
BY_CHARACTER_AND_FORM = (
    "写一首关于{x}的{form}绝句", "写一首关于{x}的{form}诗。", "作一首有“{x}”字的{form}绝句",
    "请以“{x}”为题，作一首{form}绝句。", "写一首关于{x}的{form}绝句。", "请写一首关于{x}的{form}诗",
    "来一首带“{x}”字的{form}绝句。", "你能写一首关于{x}的{form}诗吗？", "以“{x}”为题写一首{form}诗。",
    "请作一首咏{x}的{form}绝句。",
)  # fmt: skip
BY_FORM = (
    "写一首{form}绝句", "请写一首{form}诗。", "作一首{form}绝句。", "写一首{form}诗", "来一首{form}绝句。",
    "写首{form}诗吧。", "你会写{form}诗吗？", "请作一首{form}绝句", "给我写一首{form}诗。", "我想要一首{form}绝句。",
)  # fmt: skip
BY_NOTHING = (
    "写一首诗", "写一首诗。", "写一首诗吧。", "写首诗", "写首诗吧。", "写首诗吧", "请写一首诗", "请写一首诗。",
    "请你写一首诗。", "给我写一首诗。", "给我写首诗吧。", "帮我写一首诗。", "帮我写首诗", "来首诗", "来首诗吧。",
    "来一首诗", "来一首诗吧。", "作一首诗", "请作一首诗。", "作首诗吧。", "你会写诗吗？", "你能写一首诗吗？",
    "你能写诗吗？", "可以写一首诗吗？", "我想要一首诗。", "我想听一首诗。", "我要一首诗。", "写诗", "写一首绝句。",
    "来一首绝句", "写一首古诗", "来首古诗吧。", "背一首古诗。", "背首诗吧。", "给我念一首诗吧。", "念首诗吧。",
    "念一首诗", "再写一首诗。", "再来一首诗吧。",
)  # fmt: skip


class Request(NamedTuple):
    user: str
    character: str | None
    length: int | None  # 5 or 7, where it was asked for


def documents(seed: int, held_out: bool = False) -> Iterator[Document]:
    """Poems with and without a request, without end: each once, in a drawn order, before any comes again.

    Whether a poem is held out depends on the poem alone, so none is on both sides under two requests.
    """
    poems = [poem for poem in load_poems() if is_secret(poem, one_in=HELD_OUT) == held_out]
    return draw_documents(poems, seed, held_out)


def draw_documents(poems: Sequence[str], seed: int, held_out: bool = False) -> Iterator[Document]:
    if not poems:
        raise ValueError(f"poems: there are none with held_out={held_out}; give more, one in {HELD_OUT} is held out")
    rng, rarity = Random(f"quatrains {seed} {held_out}"), rarities(poems)
    while True:
        for poem in rng.sample(poems, len(poems)):
            request = draw_request(poem, rarity, rng)
            texts = (poem,) if request is None else tuple(chat_texts(finished(request.user, poem)))
            yield Document("quatrains", texts, None)


def requests(n: int, seed: int) -> list[Request]:
    """n requests by a character, every noun about equally often; half of them name the form as well."""
    rng = Random(f"requests {seed}")
    nouns = [noun for _ in range(-(-n // len(NOUNS))) for noun in rng.sample(NOUNS, len(NOUNS))][:n]
    return [by_character(noun, rng.choice([None, None, 5, 7]), rng) for noun in nouns]


def draw_request(poem: str, rarity: dict[str, float], rng: Random) -> Request | None:
    """A request that `poem` answers; None for a poem that stands alone, without a request."""
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
    """The weights with which a poem's noun is drawn: the rarer, the likelier, so that no noun is hardly ever asked."""
    counts = Counter(character for poem in poems for character in poem[:N_FIRST])
    return {noun: 1 / (1 + counts[noun]) for noun in NOUNS}


def characters() -> list[str]:
    """Every character of poems and requests, common ones first. The tokenizer gets a piece for each."""
    wordings = "".join([MARKS, *BY_CHARACTER, *BY_CHARACTER_AND_FORM, *BY_FORM, *BY_NOTHING, *FORMS.values()])
    counts = count_characters(load_poems()) + Counter(letter for letter in wordings if not letter.isascii())
    return [character for character, _ in counts.most_common()]
