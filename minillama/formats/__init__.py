"""What other programs write: checkpoints that are not in Meta's layout, their tokenizers, their chat formats.

Nothing of the course depends on this folder; only `Llama.build` and `Llama.save` come here. `recognise` gives a reader
(`checkpoint.Reader`) for whatever lies at a path, and from there on `checkpoint.load` treats all of them alike;
`in_format` chooses the chat format of a tokenizer by its name, `described` tells it.
"""

from minillama.formats.chat_templates import described, in_format
from minillama.formats.readers import recognise
from minillama.formats.tokenizer_files import with_rows

__all__ = ["described", "in_format", "recognise", "with_rows"]
