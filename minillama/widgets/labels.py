"""Every word that a widget shows, one dictionary a language."""

from __future__ import annotations

EN = {
    "prompt": "prompt",
    "temperature": "temperature",
    "top_p": "top_p",
    "draw": "draw {n}",
    "draw_tip": "Draw {n} next tokens from the nucleus and compare them with the probabilities",
    "kept": "{kept} of {total} tokens kept; they held {mass:.4f} of the probability.",
    "greedy": "Temperature 0: all the probability lies on the largest logit.",
    "more": "… {n} more tokens ({kept} of them kept)",
    "col_token": "token",
    "col_logit": "logit",
    "col_scaled": "after temperature",
    "col_prob": "probability",
    "col_before": "mass before it",
    "col_kept": "kept?",
    "col_renormalised": "renormalised",
    "col_observed": "observed in {n}",
    "is_kept": "✓ kept",
    "is_cut": "✗ cut",
    "table": "The next token, stage by stage",
    "chose": "You chose {choice}.",
    "no_choice": "You made no choice.",
    "computed": "Computed: {answer}.",
    "right": "✓ Right.",
    "wrong": "✗ Not this time.",
    "predict": "Choose before you run the next cell.",
}

LANGUAGES = {"en": EN}


def labels(language: str) -> dict[str, str]:
    """The dictionary of a language. Raises ValueError for one that has none."""
    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {sorted(LANGUAGES)}, got {language!r}")
    return LANGUAGES[language]
