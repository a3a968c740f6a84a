"""CLIP's tokenizer from the files it is published with."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache
from tokenizers import Tokenizer, models
from transformers import CLIPTokenizer

from svam_ros.artifacts.published.conversion import PublishedCheckpointError
from svam_ros.artifacts.tokenizer import InstructionError, InstructionTokenizer
from svam_ros.networks.config import TextConfig

BEGIN, END = "<|startoftext|>", "<|endoftext|>"

PUBLISHED_CLIP = "openai/clip-vit-base-patch32"
"""What the published code fetches from the Hugging Face hub by itself, tokenizer and text model."""

TOKENIZER_FILE = "tokenizer.json"
VOCABULARY_FILE, MERGES_FILE = "vocab.json", "merges.txt"


def cached_clip_folder() -> Path:
    """The snapshot of :data:`PUBLISHED_CLIP` in this machine's Hugging Face cache; nothing is fetched.

    Where the cache is follows ``HF_HOME`` and ``HF_HUB_CACHE``, as everywhere.

    Raises:
        PublishedCheckpointError: no tokenizer of it is there.
    """
    for name in (TOKENIZER_FILE, VOCABULARY_FILE):
        found = try_to_load_from_cache(PUBLISHED_CLIP, name)
        if isinstance(found, str):
            return Path(found).parent
    raise PublishedCheckpointError(
        f"--clip is not given, and the Hugging Face cache {constants.HF_HUB_CACHE} has no tokenizer of "
        f"{PUBLISHED_CLIP}, which the published code would have left there: give a folder with CLIP's "
        f"{TOKENIZER_FILE}, or {VOCABULARY_FILE} and {MERGES_FILE}, as --clip"
    )


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
    if (folder / TOKENIZER_FILE).is_file():
        return Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    vocabulary, merges = folder / VOCABULARY_FILE, folder / MERGES_FILE
    if not (vocabulary.is_file() and merges.is_file()):
        raise PublishedCheckpointError(
            f"{folder} has neither {TOKENIZER_FILE} nor {VOCABULARY_FILE} and {MERGES_FILE}: "
            f"give CLIP's folder with --clip"
        )
    entries, pairs = models.BPE.read_file(str(vocabulary), str(merges))
    # through text, because transformers wraps the decoder of the object it gives
    return Tokenizer.from_str(CLIPTokenizer(vocab=entries, merges=pairs).backend_tokenizer.to_str())


def tokenizer_files(folder: Path) -> tuple[Path, ...]:
    """The files that :func:`read_clip_tokenizer` reads, for the record of sources."""
    whole = (folder / TOKENIZER_FILE).is_file()
    names = (TOKENIZER_FILE,) if whole else (VOCABULARY_FILE, MERGES_FILE)
    return tuple(folder / name for name in names)
