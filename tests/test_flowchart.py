"""The flowchart: what it links to exists, and the picture in assets/ is the one that is shown."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from minillama.flowchart import ARROWS, BOXES, Flowchart, svg

REPOSITORY = Path(__file__).parent.parent


def test_every_link_opens_something():
    addresses = re.findall('href="([^"]+)"', Flowchart()._repr_html_())
    assert len(addresses) >= 2 * len(BOXES)  # the code, in picture and list
    for address in addresses:
        assert (REPOSITORY / "notebooks" / address).is_file(), address


def test_the_picture_in_assets_is_this_one():
    assert (REPOSITORY / "assets" / "flowchart.svg").read_text(encoding="utf-8") == svg(linked=False)


def test_the_picture_is_well_formed_and_says_in_words_what_it_shows():
    root = ElementTree.fromstring(svg(linked=True))
    space = "{http://www.w3.org/2000/svg}"
    assert root.find(f"{space}title").text and all(box.says in root.find(f"{space}desc").text for box in BOXES)
    labels = [text.text for text in root.iter(f"{space}text")]
    assert all(box.label in labels for box in BOXES)


def test_every_box_but_the_first_two_is_reached():
    assert {end for _, end in ARROWS} == set(range(2, len(BOXES)))
    assert repr(Flowchart()).count("\n") == len(BOXES) - 1


def test_a_learners_functions_stand_in_their_boxes():
    def my_cut(row):
        return row

    page = Flowchart({"cut, decode": my_cut})._repr_html_()
    assert page.count("my_cut") == 2 and page.count(">code</a>") == 2 * (len(BOXES) - 1)
    assert "(my_cut)" in repr(Flowchart({"cut, decode": my_cut}))
    my_cut.__name__ = "<script>"
    assert "<script>" not in Flowchart({"cut, decode": my_cut})._repr_html_()
    with pytest.raises(ValueError, match="no box is labelled .'cut'"):
        Flowchart({"cut": my_cut})
