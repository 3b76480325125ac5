"""What the finished model can do, measured: held-out loss, stories that come to an end, answers that are right.

`python -m training.evaluate DIR` prints it for a checkpoint folder; the default is the course model.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from minillama.checkpoint import COURSE_MODEL
from minillama.generation import Llama
from training.chats import PEOPLE
from training.corpus import SHARES
from training.tables import table
from training.train import Config, evaluate_loss, held_out_rows, new_model

N_STORIES, STORY_SAMPLING = 100, {"temperature": 0.8, "top_p": 0.95, "max_gen_len": 300}


class Case(NamedTuple):
    dialog: list[dict[str, str]]
    expect: str
    want: str


class Evaluation(NamedTuple):
    losses: dict[str, float]
    stories: list[str]  # N_STORIES, sampled
    ended: float  # share of them that came to their end
    hero_kept: float  # share whose hero is still named in the second half
    greedy: str
    answers: dict[str, list[tuple[Case, str, bool]]]  # by group


def evaluate(folder: Path, config: Config) -> Evaluation:
    """Measure the checkpoint in `folder`; `config` says which documents are held out."""
    llama = Llama.build(folder, max_batch_size=20, device="cpu")
    prompts = ["Once upon a time"] * N_STORIES
    stories, ended = [], 0
    for start in range(0, N_STORIES, 20):
        for result in llama.text_completion(prompts[start : start + 20], seed=start, **STORY_SAMPLING):
            stories.append("Once upon a time" + result["generation"].rstrip())
            ended += result["finish_reason"] == "stop"
    greedy = llama.text_completion(prompts[:1], temperature=0, max_gen_len=300)[0]["generation"].rstrip()
    answers = {}
    for name, cases in groups().items():
        texts = ask(llama, cases)
        answers[name] = [(case, text, is_right(case, text)) for case, text in zip(cases, texts, strict=True)]
    model = new_model(config, llama.tokenizer.n_words)
    model.load_state_dict(llama.model.state_dict())
    losses = {part: evaluate_loss(model, held_out_rows(config, llama.tokenizer, part)) for part in SHARES}
    kept = sum(keeps_hero(story) for story in stories)
    return Evaluation(losses, stories, ended / N_STORIES, kept / N_STORIES, "Once upon a time" + greedy, answers)


def ask(llama: Llama, cases: Sequence[Case]) -> list[str]:
    answers = []
    for start in range(0, len(cases), 20):
        dialogs = [case.dialog for case in cases[start : start + 20]]
        results = llama.chat_completion(dialogs, temperature=0, max_gen_len=200)
        answers += [result["generation"]["content"].strip() for result in results]
    return answers


def groups() -> dict[str, list[Case]]:
    """The cases of data/evaluation.toml by group, with the held-out names and words filled in."""
    found = {}
    for group in table("evaluation")["group"]:
        asks, values = group.get("asks", [group]), [None]
        if group.get("names"):
            values = PEOPLE["held_out"]
        if group.get("closing"):
            values = PEOPLE["held_out_words"]
        found[group["name"]] = [
            Case(dialog_of(one, one.get("system", group.get("system")), x), group["expect"], x or one["want"])
            for one in asks
            for x in values
        ]
    return found


def dialog_of(one: dict, system: str | None, x: str | None) -> list[dict[str, str]]:
    texts = [text.replace("{x}", x) if x else text for text in one["turns"]]
    dialog = [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(texts)]
    if system:
        dialog.insert(0, {"role": "system", "content": system.replace("{x}", x) if x else system})
    return dialog


def is_right(case: Case, answer: str) -> bool:
    words = re.findall(r"\w+", answer.lower())
    contained = case.want.lower() in answer.lower()
    if case.expect == "contains":
        return contained
    if case.expect == "capitals":
        return contained and answer == answer.upper() and answer != ""
    if case.expect == "exactly":
        return words == [case.want.lower()]
    if case.expect == "ends":
        return len(words) > 1 and words[-1] == case.want.lower()
    if case.expect == "unknown":
        return any(text in answer.lower() for text in ("don't know", "too hard"))
    raise ValueError(
        f"evaluation.toml: expect must be contains, capitals, exactly, ends or unknown, got {case.expect!r}"
    )


def keeps_hero(story: str) -> bool:
    """Whether the first name of the story, that of its hero, is in its second half too."""
    name = re.search(r"(?:named|called) (\w+)", story)
    return bool(name) and name[1] in story[len(story) // 2 :]


def report(evaluation: Evaluation) -> str:
    """The measured numbers as a table in Markdown."""
    lines = ["| Measured | Result |", "|---|---|"]
    for part, loss in evaluation.losses.items():
        lines.append(f"| held-out loss, {part}, nats a token | {loss:.3f} |")
    sampled = f"{N_STORIES} stories at temperature {STORY_SAMPLING['temperature']}, top_p {STORY_SAMPLING['top_p']}"
    lines.append(f"| {sampled}: end within {STORY_SAMPLING['max_gen_len']} tokens | {evaluation.ended:.0%} |")
    lines.append(f"| of them: the hero is still named in the second half | {evaluation.hero_kept:.0%} |")
    lines.append(f"| of them: different from all others | {len(set(evaluation.stories))} |")
    for name, answers in evaluation.answers.items():
        lines.append(f"| chat, greedy: {name} | {sum(right for *_, right in answers)} of {len(answers)} |")
    return "\n".join(lines)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else COURSE_MODEL
    evaluation = evaluate(folder, Config())
    print(report(evaluation), evaluation.greedy, *evaluation.stories[:5], sep="\n\n")
    for name, answers in evaluation.answers.items():
        print(f"\n{name}")
        for case, answer, right in answers:
            system = f"({case.dialog[0]['content']}) " if case.dialog[0]["role"] == "system" else ""
            print("  " + ("ok   " if right else "WRONG"), f"{system}{case.dialog[-1]['content']} -> {answer}")


if __name__ == "__main__":
    main()
