"""Every widget, show_* function, figure and link, with arguments that are right."""

import torch

from minillama import Llama, flowchart, links, plots, speed_plots, widgets

USER = {"role": "user", "content": "Hi"}


def calls(checkpoint):
    """{name: (function, its arguments)}"""
    llama = Llama.build(checkpoint.folder, max_batch_size=2, max_seq_len=24, device="cpu")
    seeded = {"max_gen_len": 2, "logprobs": True, "seed": 1}
    (echoed,), (alone,) = (llama.text_completion(["a"], echo=echo, **seeded) for echo in (True, False))
    logits = torch.linspace(-2, 2, llama.tokenizer.n_words)
    pieces = llama.tokenizer.pieces(range(llama.tokenizer.n_words))
    one, two, m = torch.tensor([1]), [1, 2], {"llama": llama}
    explorer = {**m, "prompts": ["a"], "temperature": 1.0, "n_rows": 3}
    attended = {"pieces": ["a", "b"], "weights": torch.eye(2)[None, None]}
    shown = {"tokenizer": llama.tokenizer, "text": "a", "bos": False, "eos": False}
    heat = {**m, "prompts": ["a"], "max_gen_len": 1, "threshold": 0.1, "echo": True, "seed": 1}
    stepped = {"max_gen_len": 2, "temperature": 0.5, "top_p": 0.5, "seed": 1, "logprobs": False, "n_rows": 2}
    calls = [
        (widgets.AttentionExplorer, {**attended, "layer": 0, "head": 0, "token": 1}),
        (widgets.BeamView, {**m, "prompts": ["a"], "n_beams": 2, "max_gen_len": 2}),
        (widgets.CacheView, {**m, "prompt": "a", "max_gen_len": 2}),
        (widgets.CanvasView, {**m, "prompts": ["a"], "max_gen_len": 2, "n_columns": 4}),
        (widgets.show_canvas, {**m, "prompt_tokens": [[1, 5]], "max_gen_len": 2}),
        (widgets.ChatPanel, {**m, "system": "", "temperature": 0.5, "top_p": 0.5, "max_gen_len": 2, "seed": 1}),
        (widgets.ChatView, {**m, "dialog": [USER]}),
        (widgets.show_chat, {**m, "dialog": [USER]}),
        (widgets.show_echo, {"with_echo": echoed, "without": alone}),
        (widgets.LogprobHeatmap, {**heat, "temperatures": (0.0, 1.0)}),
        (widgets.show_logprobs, {**heat, "temperatures": [0.0]}),
        (widgets.Predict, {"question": "q", "options": ["1"], "answer": 1, "because": "x"}),
        (widgets.GenerateStepper, {**m, "prompts": ["a"], **stepped}),
        (widgets.show_step, {**m, "prompt_tokens": [[1, 5]], "number": 1, "row": 0, **stepped}),
        (widgets.TemperatureExplorer, {**explorer, "truths": {"a": {5: 0.5}}}),
        (widgets.TokenView, shown),
        (widgets.show_tokens, shown),
        (widgets.TopPExplorer, {**explorer, "top_p": 0.5, "seed": 0}),
        (widgets.TopPExplorer(llama, ["a"]).sample, {"n": 3}),
        (plots.plot_nucleus, {"pieces": pieces, "probs": logits.softmax(-1), "p": 0.5, "n_bars": 3}),
        (plots.plot_rotation, {"freqs_cis": llama.model.freqs_cis[:3], "pairs": [0, 1]}),
        (plots.plot_attention, {"pieces": ["a", "b"], "weights": torch.eye(2), "title": "x"}),
        (
            plots.plot_temperatures,
            {"pieces": pieces, "logits": logits, "temperatures": [1.0], "truth": {5: 0.5}, "n_tokens": 3},
        ),
        (plots.plot_entropy, {"curves": {"a": logits}, "highest": 3.0}),
        (plots.plot_cache, {"calls": [(0, 2)], "pieces": ["a", "b"]}),
        (plots.plot_token_cost, {"contexts": two, "counted": {"a": two}, "measured": {"a": two}}),
        (
            plots.plot_where,
            {"from_prompt": torch.tensor([True]), "column": one, "candidate": one, "titles": ["a"]},
        ),
        (plots.plot_calibration, {"points": {"a": [(0.5, 0.4)]}}),
        (speed_plots.plot_rank_memory, {"models": {"a": {1: (1.0, 2.0)}}, "gpus": [1.0]}),
        (speed_plots.bars, {"accounts": {"a": {"x": 1.0}}}),
        (speed_plots.timeline, {"rows": {"a": ["x"]}}),
        (
            speed_plots.plot_curves,
            {"x": two, "curves": {"a": two}, "xlabel": "x", "ylabel": "y", "log": "x", "marks": {"m": 1}},
        ),
        (speed_plots.plot_batch, {"batches": two, "seconds": two}),
        (links.source_link, {"obj": Llama.generate}),
        (links.meta_link, {"file": "a", "name": "b"}),
        (flowchart.Flowchart, {"mine": {}}),
    ]
    return {function.__qualname__: (function, given) for function, given in calls}
