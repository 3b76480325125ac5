"""Draw what becomes of the files of a checkpoint: of one in Meta's layout, and of three layouts.

python assets/draw_checkpoints.py writes assets/checkpoint-files.svg and assets/real-models.svg.
"""

from __future__ import annotations

from pathlib import Path

from minillama.svg import ORANGE, arrow, box, page, pill

FILES = (
    ("tokenizer.model", "vocabulary", "Tokenizer", "text ↔ ids"),
    ("params.json", "sizes", "ModelArgs", "sizes by name"),
    ("consolidated.00.pth", "numbers", "weights", "tensors by name"),
)
LAYOUTS = (
    ("Meta", "params.json, .pth"),
    ("Hugging Face", "config.json, .safetensors"),
    ("GGUF", "one file with all"),
)


def files() -> str:
    parts = []
    for k, (name, holds, becomes, what) in enumerate(FILES):
        y = 34 + 64 * k
        parts += [
            box(98, y, 180, name, small=holds, fill=ORANGE, marked=True),
            arrow(f"M189 {y} H219"),
            box(286, y, 132, becomes, small=what),
        ]
    parts += [
        arrow("M352 98 H378 V122 H399"),
        arrow("M352 162 H378 V138 H399"),
        box(460, 130, 120, "Transformer", small="the network"),
        arrow("M352 34 H612 V57"),
        arrow("M520 130 H612 V106"),
        box(612, 82, 160, "Llama", small="model and tokenizer"),
        arrow("M692 82 H719"),
        pill(766, 82, 90, "the loop"),
    ]
    desc = (
        "tokenizer.model becomes the Tokenizer, params.json the ModelArgs, consolidated.00.pth the weights. ModelArgs "
        "and weights make the Transformer; Transformer and Tokenizer make the Llama, which runs the loop."
    )
    return page(816, 196, "Three files become a Llama, which runs the generate loop", desc, parts)


def layouts() -> str:
    parts = []
    for k, (name, holds) in enumerate(LAYOUTS):
        y = 34 + 68 * k
        parts.append(box(124, y, 200, name, small=holds, fill=ORANGE, marked=True))
        if k:
            parts += [
                arrow(f"M225 {y} H265"),
                box(316, y, 100, "names", small="translated"),
                arrow(f"M366 {y} H397"),
                box(448, y, 100, "numbers", small="read"),
            ]
    parts += [
        arrow("M225 34 H614 V77"),
        arrow("M498 102 H545"),
        arrow("M498 170 H614 V127"),
        box(614, 102, 136, "Transformer", small="the same network"),
        arrow("M682 102 H715"),
        box(774, 102, 116, "Llama", small="the same loop"),
        arrow("M774 126 V226 H8 V34 H23", dashed=True),
        arrow("M8 102 H23", dashed=True),
        pill(448, 226, 100, "Llama.save"),
    ]
    desc = (
        "Meta's folder, a Hugging Face folder and a GGUF file; of the last two, names are translated and numbers read. "
        "All give the same Transformer, which Llama runs. A dashed arrow, Llama.save, leads back to the two folders."
    )
    return page(840, 244, "Three layouts of a checkpoint become one Transformer", desc, parts)


if __name__ == "__main__":
    (Path(__file__).parent / "checkpoint-files.svg").write_text(files(), encoding="utf-8")
    (Path(__file__).parent / "real-models.svg").write_text(layouts(), encoding="utf-8")
