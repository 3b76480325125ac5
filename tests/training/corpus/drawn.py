"""Documents that several test files look at, drawn once."""

from functools import cache
from itertools import islice

from training.corpus.document import Document
from training.corpus.parts import documents

TRAINED = 5_000  # documents of each part that no held-out question may occur in


@cache
def trained(part: str) -> list[Document]:
    """The first documents of a part to train on, with seed 1."""
    return list(islice(documents(part, 1), TRAINED))
