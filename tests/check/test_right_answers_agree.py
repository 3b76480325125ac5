"""What the tables call right is what the package does."""

from minillama import ModelArgs
from tests.check.table import EXERCISES


def test_the_bytes_of_a_token_are_the_tokenizers(tokenizer):
    for i, piece in enumerate(tokenizer.pieces(range(tokenizer.n_words))):
        assert i == 0 or EXERCISES["token_bytes"].right(piece) == tokenizer.token_bytes(i)


def test_the_formulas_are_the_real_cache(random_llama):
    llama = random_llama(max_batch_size=3)
    stored, args = sum(buffer.untyped_storage().nbytes() for buffer in llama.model.buffers()), llama.model.params
    assert stored == 3 * EXERCISES["row_bytes"].right(args, 4)
    assert stored == EXERCISES["cache_bytes"].right(args, 3, args.max_seq_len, 4)
    assert EXERCISES["row_bytes"].right(ModelArgs(), 2) == 2**30  # Llama 2 7B: one GiB for 2048 positions
