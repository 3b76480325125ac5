"""Which reader is for what: a folder in Meta's or Hugging Face's layout, a GGUF file, the id of a model on the hub."""

from __future__ import annotations

import re
from pathlib import Path

from minillama import arguments
from minillama.checkpoint import PARAMS, SHARD, TOKENIZER, MetaFolder, Reader
from minillama.files import check_whole, listed
from minillama.formats.chat_templates import TEMPLATE
from minillama.formats.gguf import GGUFFile, begins_as_gguf
from minillama.formats.hugging_face import CONFIG, HuggingFaceFolder, what_to_do
from minillama.formats.tokenizer_files import CONFIG as SETTINGS
from minillama.formats.tokenizer_files import JSON, read_tokenizer, read_tokenizer_file
from minillama.shards import SHARD_NAME
from minillama.tokenizer import BaseTokenizer

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class MetaFolderOfOthers(MetaFolder):
    """A folder in Meta's layout that may have a tokenizer.json in place of Meta's tokenizer.model."""

    def tokenizer(self, path: str | Path | None = None) -> BaseTokenizer:
        """As for MetaFolder; a tokenizer.json in the folder, or one at `path`, is read with its chat format."""
        if path is None and any((self.path / name).is_file() for name in (JSON, SETTINGS)):
            return read_tokenizer(self.path, self.args.vocab_size, {})
        if str(path).endswith(".json"):
            return read_tokenizer_file(path, self.args.vocab_size)
        return super().tokenizer(path)


def recognise(ckpt_dir: str | Path) -> Reader:
    """The reader for what is at ckpt_dir: a folder of Meta's or Hugging Face's, a GGUF file, or a hub id "owner/name".

    Raises ValueError if it is none of these, if the sizes in it cannot be read, or if a save into it was cut off.
    """
    arguments.path("ckpt_dir", ckpt_dir)
    path = Path(ckpt_dir)
    if not path.exists() and HUB_ID.fullmatch(str(ckpt_dir)):
        path = download(str(ckpt_dir))
    if path.is_file() and (path.suffix == ".gguf" or begins_as_gguf(path)):
        return GGUFFile(path)
    if not path.is_dir():
        raise ValueError(
            f"ckpt_dir: no folder {str(path)!r}; expected a folder with {PARAMS}, {SHARD} and {TOKENIZER} (Meta), "
            f"a folder with {CONFIG} and safetensors files (Hugging Face), or a .gguf file"
        )
    check_whole(path)
    if (path / PARAMS).is_file():
        return MetaFolderOfOthers(path)
    if (path / CONFIG).is_file():
        return HuggingFaceFolder(path)
    advice = what_to_do([each.name for each in path.iterdir()], str(path)) or ", so it is not a checkpoint"
    raise ValueError(f"ckpt_dir: {str(path)!r} has no {PARAMS} and no {CONFIG}{advice}")


def download(hub_id: str) -> Path:
    """The folder of "owner/name" from the Hugging Face hub, or from the copy that was fetched before.

    Raises ValueError if there is no such model, or no connection, or huggingface_hub is not installed, or if the model
    is there in other forms only: then it says what to do.
    """
    try:
        import huggingface_hub
    except ImportError:
        raise ValueError(
            f"ckpt_dir: no folder or file {hub_id!r}; if it is the id of a model on the Hugging Face hub, install "
            f"huggingface_hub: pip install huggingface_hub"
        ) from None
    wanted = ["*.json", "*.safetensors", TOKENIZER, TEMPLATE]  # nothing that could hold code
    try:
        folder = Path(huggingface_hub.snapshot_download(hub_id, allow_patterns=wanted))
        if (folder / PARAMS).is_file() and not any(folder.glob("*.safetensors")):  # Meta's own: only tensors are read
            folder = Path(huggingface_hub.snapshot_download(hub_id, allow_patterns=[*wanted, "consolidated.*.pth"]))
        names = [path.name for path in folder.glob("*")]
        found = any(name.endswith(".safetensors") or SHARD_NAME.fullmatch(name) for name in names)
        names = names if found else huggingface_hub.list_repo_files(hub_id)
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"ckpt_dir: no folder or file {hub_id!r}, and as the id of a model on the Hugging Face hub it was not "
            f"found ({reason})"
        ) from error
    if not found:
        if ggufs := [name for name in names if name.endswith(".gguf")]:
            advice = f"; it has {listed(ggufs)}: fetch one, huggingface_hub.hf_hub_download({hub_id!r}, {ggufs[0]!r}), "
            advice += "and give its path as ckpt_dir"
        else:
            advice = what_to_do(names, hub_id)
        raise ValueError(f"ckpt_dir: the model {hub_id!r} on the Hugging Face hub has no safetensors{advice}")
    return folder
