"""CLIP's tokenizer from the files it is published with."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, models
from transformers import CLIPTokenizer

from svam_ros.artifacts.published.conversion import PublishedCheckpointError
from svam_ros.artifacts.tokenizer import InstructionError, InstructionTokenizer
from svam_ros.networks.config import TextConfig

BEGIN, END = "<|startoftext|>", "<|endoftext|>"


def read_clip_tokenizer(folder: Path, config: TextConfig) -> InstructionTokenizer:
    """From ``tokenizer.json``, or from ``vocab.json`` and ``merges.txt``.

    The published pipeline cuts instructions at 20 tokens; :class:`InstructionTokenizer` refuses longer
    ones, because half an instruction is another instruction.

    Raises:
        PublishedCheckpointError: neither is there, a file is broken, or its marks are not the preset's.
    """
    try:
        tokenizer = _read(folder)
    except PublishedCheckpointError:
        raise
    except Exception as error:  # tokenizers raises plain Exception
        raise PublishedCheckpointError(f"--clip {folder}: no tokenizer: {error}") from error
    for mark, wanted in ((BEGIN, config.bos_id), (END, config.eos_id)):
        found = tokenizer.token_to_id(mark)
        if found != wanted:
            raise PublishedCheckpointError(
                f"--clip {folder}: '{mark}' has id {found} in the tokenizer, {wanted} in the preset"
            )
    try:
        return InstructionTokenizer(tokenizer, config)
    except InstructionError as error:
        raise PublishedCheckpointError(f"--clip {folder}: {error}") from error


def _read(folder: Path) -> Tokenizer:
    if (folder / "tokenizer.json").is_file():
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    if not (vocabulary.is_file() and merges.is_file()):
        raise PublishedCheckpointError(
            f"{folder} has neither tokenizer.json nor vocab.json and merges.txt: "
            f"give CLIP's folder with --clip"
        )
    entries, pairs = models.BPE.read_file(str(vocabulary), str(merges))
    # through text, because transformers wraps the decoder of the object it gives
    return Tokenizer.from_str(CLIPTokenizer(vocab=entries, merges=pairs).backend_tokenizer.to_str())


def tokenizer_files(folder: Path) -> tuple[Path, ...]:
    """The files that :func:`read_clip_tokenizer` reads, for the record of sources."""
    names = ("tokenizer.json",) if (folder / "tokenizer.json").is_file() else ("vocab.json", "merges.txt")
    return tuple(folder / name for name in names)
