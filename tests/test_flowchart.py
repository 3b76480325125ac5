"""The flowchart: what it links to exists, and the picture in assets/ is the one that is shown."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from minillama.flowchart import ARROWS, BOXES, Flowchart, linked, picture

REPOSITORY = Path(__file__).parent.parent


def test_every_link_opens_something():
    addresses = re.findall('href="([^"]+)"', Flowchart()._repr_html_())
    assert len(addresses) == len(BOXES) + len({box.code for box in BOXES})  # notebooks in the picture, code below
    for address in addresses:
        assert (REPOSITORY / "notebooks" / address).is_file(), address


def test_the_picture_is_well_formed_and_says_in_words_what_it_shows():
    root = ElementTree.fromstring(picture())
    space = "{http://www.w3.org/2000/svg}"
    assert root.find(f"{space}title").text and all(box.says in root.find(f"{space}desc").text for box in BOXES)
    labels = [text.text for text in root.iter(f"{space}text")]
    assert all(box.label in labels for box in BOXES)


def test_each_notebook_is_one_stop_of_the_tab_key_and_a_link_says_where_it_leads():
    links = ElementTree.fromstring(linked({box.label: "" for box in BOXES})).iter("{http://www.w3.org/1999/xhtml}a")
    stops = {}
    for link in links:
        stops.setdefault(link.text, []).append(link.get("tabindex"))
    assert len(stops) == len({box.notebook for box in BOXES}) and "11 Completion and echo" in stops
    assert all(first is None and set(rest) <= {"-1"} for first, *rest in stops.values())
    page = Flowchart()._repr_html_()
    assert 'role="img"' not in page, "nobody could reach what is inside"
    assert page.index("<details>") < page.index("sampling.py"), "the code is folded"


def test_every_box_but_the_first_two_is_reached():
    assert {end for _, end in ARROWS} == set(range(2, len(BOXES)))
    assert repr(Flowchart()).count("\n") == len(BOXES) - 1


def test_a_learners_functions_stand_in_their_boxes():
    def my_cut(row):
        return row

    page = Flowchart({"cut, decode": my_cut})._repr_html_()
    assert page.count("my_cut") == 1 and page.count(".ipynb") == len(BOXES) - 1
    assert "Collector.predictions:" in Flowchart()._repr_html_() and "Collector.predictions:" not in page
    assert "(my_cut)" in repr(Flowchart({"cut, decode": my_cut}))
    my_cut.__name__ = "<script>"
    assert "<script>" not in Flowchart({"cut, decode": my_cut})._repr_html_()
    with pytest.raises(ValueError, match="no box is labelled .'cut'"):
        Flowchart({"cut": my_cut})
