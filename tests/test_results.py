"""From columns to results: where a row ends, its exact bytes, and what may be shown while it is still growing."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minillama.results import Collector, Row, TextStream, drop_space
from minillama.tokenizer import BaseTokenizer

EOS = 2


class PieceTokenizer(BaseTokenizer):
    """Tokens whose bytes a test can choose stop strings among: empty, short, long, and parts of a character."""

    table = [
        b"",
        b"",
        b"",
        b"a",
        b"b",
        b"ab",
        b"abc",
        b" a",
        b" ",
        "猫".encode(),
        *(bytes([c]) for c in "猫é".encode()),
    ]

    def __init__(self):
        super().__init__(self.table, eos_id=EOS)

    def pieces(self, ids):
        return [f"<{i}>" for i in ids]


TOKENIZER = PieceTokenizer().with_format(None, [14])
TOKENS = st.integers(0, TOKENIZER.n_words - 1)
SCRIPTS = st.lists(TOKENS, max_size=12)
STOPS = st.lists(st.text(st.sampled_from("ab 猫é"), min_size=1, max_size=4), max_size=3)


def by_definition(script, max_gen_len, stop):
    """(ids, their bytes, finish_reason) of a row that the model continues with `script`."""
    ids = script[:max_gen_len]
    if ends := [k for k, i in enumerate(ids) if i in TOKENIZER.stop_ids]:
        ids, reason = ids[: ends[0]], "stop"
    else:
        reason = "length"
    for n in range(1, len(ids) + 1):
        data = b"".join(map(TOKENIZER.token_bytes, ids[:n]))
        ends = [data.index(text.encode()) for text in stop if text.encode() in data]
        if ends:
            kept, pieces, start = [], [], 0
            for i in ids[:n]:
                if start < min(ends):
                    kept.append(i)
                    pieces.append(TOKENIZER.token_bytes(i)[: min(ends) - start])
                start += len(TOKENIZER.token_bytes(i))
            return kept, pieces, "stop"
    return ids, [TOKENIZER.token_bytes(i) for i in ids], reason


def grow(script, max_gen_len, stop):
    """The Row after each token."""
    row = Row(TOKENIZER, [1], max_gen_len, stop)
    yield row
    for token in script:
        row.push(token)
        yield row


# ---- Row -----------------------------------------------------------------------------------------------------------


@given(SCRIPTS, st.integers(0, 14), STOPS)
def test_a_row_ends_where_the_definition_says(script, max_gen_len, stop):
    *_, row = grow(script, max_gen_len, stop)
    ids, pieces, reason = by_definition(script, max_gen_len, stop)
    assert (row.ids, row.token_bytes, row.finish_reason) == (ids, pieces, reason)
    assert row.data == b"".join(row.token_bytes)
    assert row.ended == (reason == "stop" or len(ids) == max_gen_len)


@given(SCRIPTS, st.integers(0, 14), STOPS)
def test_what_is_settled_stays(script, max_gen_len, stop):
    *_, last = grow(script, max_gen_len, stop)
    shown = b""
    for row in grow(script, max_gen_len, stop):
        settled = row.data[: row.settled()]
        assert settled.startswith(shown)
        shown = settled
    assert last.data.startswith(shown)


@given(SCRIPTS, STOPS)
def test_nothing_is_held_back_in_vain(script, stop):
    """All is settled but the longest end of the data with which a stop string begins."""
    for row in grow(script, 99, stop):
        ends = [row.data[k:] for k in range(len(row.data))]
        held = [end for end in ends if any(text.encode().startswith(end) for text in stop)]
        assert row.settled() == len(row.data) - (0 if row.ended else max(map(len, held), default=0))


@given(SCRIPTS, STOPS)
def test_a_stop_string_is_never_shown(script, stop):
    for row in grow(script, 99, stop):
        assert not any(text.encode() in row.data for text in stop)


@pytest.mark.parametrize(
    ("script", "stop", "token_bytes"),
    [
        ([3, 4], ["ab"], []),  # a b: found across the border of two tokens
        ([7, 4], ["ab"], [b" "]),  # ␣a b: the first is shortened
        ([6], ["c"], [b"ab"]),  # abc: inside one token
        ([3, 6], ["c", "b"], [b"a", b"a"]),  # a abc: the first to begin counts
        ([3, 3, 4], ["ab", "b"], [b"a"]),  # a a b: both are complete, "ab" begins first
        ([3, 0, 4], ["b"], [b"a"]),  # a token without bytes, at the cut
        ([9], ["猫"], []),
        ([7, 10, 11, 12], ["猫"], [b" a"]),  # a character in three tokens
        ([3, 8, 4], ["ab"], [b"a", b" ", b"b"]),  # it did not become a stop string
    ],
)
def test_stop_strings_by_example(script, stop, token_bytes):
    *_, row = grow(script, 99, stop)
    assert row.token_bytes == token_bytes


def test_a_beginning_is_held_back_until_it_is_known():
    row = Row(TOKENIZER, [1], 99, ["aba"])
    shown = []
    for token in (3, 4, 4, 3, 4):  # a b b a b
        row.push(token)
        shown.append(row.data[: row.settled()])
    assert shown == [b"", b"", b"abb", b"abb", b"abb"]


def test_the_end_releases_what_was_held_back():
    row = Row(TOKENIZER, [1], 2, ["abc"])
    row.push(3), row.push(4)
    assert row.ended and row.finish_reason == "length" and row.settled() == 2
    row = Row(TOKENIZER, [1], 9, ["abc"])
    row.push(3), row.push(EOS)
    assert row.ended and row.finish_reason == "stop" and row.settled() == 1


# ---- Collector -----------------------------------------------------------------------------------------------------


def run(prompts, scripts, max_gen_len, stop=(), watch=False, scores=None):
    """A Collector that was fed the columns of a run, until it had enough."""
    total_len = max_gen_len + max(map(len, prompts))
    rows = [prompt + script for prompt, script in zip(prompts, scripts, strict=True)]
    rows = [(row + [EOS] * total_len)[:total_len] for row in rows]
    canvas = torch.full((len(prompts), total_len), -1)
    for k, prompt in enumerate(prompts):
        canvas[k, : len(prompt)] = torch.tensor(prompt)
    collector = Collector(TOKENIZER, prompts, max_gen_len, stop, watch)
    prev_pos = 0
    for cur_pos in range(min(map(len, prompts)), total_len if max_gen_len else 0):
        canvas[:, cur_pos] = torch.tensor([row[cur_pos] for row in rows])
        block = None if scores is None else scores[:, prev_pos:cur_pos]
        prev_pos = cur_pos
        if collector.add(SimpleNamespace(tokens=canvas, cur_pos=cur_pos, logprobs=block, top_logprobs=None)):
            break
    collector.read()
    return collector


BATCHES = st.lists(st.tuples(st.lists(TOKENS, min_size=1, max_size=5), SCRIPTS), min_size=1, max_size=4)


@given(BATCHES, st.integers(0, 9), STOPS, st.booleans())
def test_every_row_of_a_batch_ends_by_itself(batch, max_gen_len, stop, watch):
    prompts, scripts = map(list, zip(*batch, strict=True))
    collector = run(prompts, scripts, max_gen_len, stop, watch)
    due = [by_definition((script + [EOS] * 20), max_gen_len, stop) for script in scripts]
    assert collector.token_ids(echo=False) == [ids for ids, _, _ in due]
    assert collector.token_ids(echo=True) == [prompt + ids for prompt, (ids, _, _) in zip(prompts, due, strict=True)]
    assert [row.finish_reason for row in collector.rows] == [reason for _, _, reason in due]
    assert [row.token_bytes for row in collector.rows] == [token_bytes for _, token_bytes, _ in due]


@given(BATCHES, st.integers(1, 9), STOPS, st.booleans())
def test_logprobs_go_with_their_tokens(batch, max_gen_len, stop, echo):
    """Surplus columns are cut; the first of an echo has None. Here the score of column i of row k is 100 k + i."""
    prompts, scripts = map(list, zip(*batch, strict=True))
    scores = 100.0 * torch.arange(len(prompts))[:, None] + torch.arange(1, 40)
    collector = run(prompts, scripts, max_gen_len, stop, scores=scores)
    for k, (ids, row) in enumerate(zip(collector.token_ids(echo), collector.logprobs(echo), strict=True)):
        columns = range(len(ids)) if echo else range(len(prompts[k]), len(prompts[k]) + len(ids))
        assert row == [100.0 * k + i if i else None for i in columns]


def test_watching_ends_a_run_as_soon_as_every_row_has():
    collector = Collector(TOKENIZER, [[1], [1]], 9, [], watch=True)
    canvas = torch.full((2, 10), -1)
    ended = []
    for cur_pos, column in enumerate([[3, EOS], [4, 5], [EOS, 5]], start=1):
        canvas[:, cur_pos] = torch.tensor(column)
        ended.append(collector.add(SimpleNamespace(tokens=canvas, cur_pos=cur_pos, logprobs=None, top_logprobs=None)))
    assert ended == [False, False, True]


def test_an_unwatched_run_reads_the_canvas_once_and_cuts_the_surplus():
    assert run([[1], [1, 5]], [[3, EOS, 4, 4, 4], [4]], 6).token_ids(echo=False) == [[3], [4]]
    assert not Collector(TOKENIZER, [[1]], 6, []).watch and Collector(TOKENIZER, [[1]], 6, ["x"]).watch


def test_eos_in_a_prompt_does_not_end_it():
    assert run([[1, EOS, 3], [EOS]], [[4], [5]], 3).token_ids(echo=True) == [[1, EOS, 3, 4], [EOS, 5]]


def test_nothing_generated():
    collector = run([[1, 3], [1]], [[], []], 0)
    assert collector.token_ids(echo=True) == [[1, 3], [1]] and collector.logprobs(echo=False) == [[], []]
    assert collector.predictions(logprobs=False) == [{"generation": "", "finish_reason": "length"}] * 2


def test_the_keys_of_a_prediction():
    plain = {"generation": " a猫", "finish_reason": "stop"}
    assert run([[1]], [[7, 9, EOS]], 9).predictions(logprobs=False) == [plain]
    scores = -torch.arange(1.0, 11.0)[None]
    assert run([[1, 3]], [[7, 9, EOS]], 9, scores=scores).predictions(logprobs=True, echo=True) == [
        {
            "generation": "a a猫",
            "finish_reason": "stop",
            "tokens": ["<1>", "<3>", "<7>", "<9>"],
            "token_ids": [1, 3, 7, 9],
            "token_bytes": [b"", b"a", b" a", "猫".encode()],
            "logprobs": [None, -1, -2, -3],
        }
    ]
    assert run([[1]], [[7, 9, EOS]], 9).predictions(logprobs=False, chat=True) == [
        {"generation": {"role": "assistant", "content": "a猫"}, "finish_reason": "stop"}
    ]


@given(BATCHES, st.integers(1, 9), STOPS, st.booleans(), st.booleans())
def test_token_bytes_join_to_the_text(batch, max_gen_len, stop, echo, chat):
    prompts, scripts = map(list, zip(*batch, strict=True))
    collector = run(prompts, scripts, max_gen_len, stop, scores=torch.zeros(len(prompts), 40))
    for prediction in collector.predictions(logprobs=True, echo=echo and not chat, chat=chat):
        text = prediction["generation"]["content"] if chat else prediction["generation"]
        assert b"".join(prediction["token_bytes"]).decode(errors="replace") == text
        lists = [prediction[name] for name in ("tokens", "token_ids", "token_bytes", "logprobs")]
        assert len({len(each) for each in lists}) == 1


# ---- TextStream ----------------------------------------------------------------------------------------------------


@given(st.binary(max_size=24) | st.text(max_size=12).map(lambda s: s.encode(errors="ignore")), st.data())
def test_pieces_join_to_the_text(data, draws):
    cuts = sorted(draws.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    drop = draws.draw(st.booleans())
    stream = TextStream(skip_space=drop)
    borders = [0, *cuts, len(data)]
    pieces = [stream.push(data[a:b]) for a, b in zip(borders, borders[1:], strict=False)] + [stream.push(b"", True)]
    assert "".join(pieces) == (data.removeprefix(b" ") if drop else data).decode(errors="replace")


@given(st.text(st.sampled_from("aé猫🦙 "), max_size=8))
def test_every_piece_is_whole_characters(text):
    stream = TextStream(skip_space=False)
    pieces = [stream.push(bytes([byte])) for byte in text.encode()]
    assert [piece for piece in pieces if piece] == list(text)
    assert stream.push(b"", final=True) == ""


@given(st.lists(st.sampled_from([b"", b" ", b" a", b"a", b"  "]), max_size=5))
def test_drop_space_drops_one(token_bytes):
    assert b"".join(drop_space(token_bytes)) == b"".join(token_bytes).removeprefix(b" ")
    assert len(drop_space(token_bytes)) == len(token_bytes)
