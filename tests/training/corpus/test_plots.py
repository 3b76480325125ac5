"""The format of the plots, and the plots themselves."""

from collections import Counter

import pytest

from training.corpus.plots import read_plots, split
from training.corpus.stories import words_of
from training.corpus.tables import LANGUAGES


def test_a_line_that_fits_no_rule_is_named():
    with pytest.raises(ValueError, match="line 2: .*got 'colour red'"):
        read_plots("=== a plot\ncolour red\n")
    with pytest.raises(ValueError, match="line 1: .* before the first"):
        read_plots("{He} was sad.\n")


def test_a_bar_in_a_choice_parts_nothing():
    assert split("a [b|c] | d") == ["a [b|c]", "d"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_plots_and_words_are_well_formed(language):
    words = words_of(language)
    assert len(words.plots) >= {"en": 40, "zh": 40}[language]
    for plot in words.plots.values():
        assert len(plot.steps) == 4 and all(len(wordings) >= 2 for wordings in plot.steps), plot.name
        for wordings in [*plot.steps, *plot.slots.values()]:
            assert len(wordings) == len(set(wordings)), f"{plot.name}: a wording occurs twice"
        for noun in words.nouns.items:
            words.plot_tables(plot.name, noun)  # raises where no case is left
    first = Counter(wording for plot in words.plots.values() for wording in plot.steps[0])
    assert max(first.values()) == 1, first.most_common(1)
    for key, values in words.words.items():
        if isinstance(values, list) and key not in ("openings", "day", "child_kinds", "animal_kinds"):
            assert len(values) == len(set(values)), f"{key}: a word occurs twice"
