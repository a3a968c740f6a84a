"""Instructions as token ids: a ``tokenizers`` file from the model directory, and a small one of words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from svam_ros.networks.config import TextConfig
from svam_ros.translation.instructions import MAX_INSTRUCTION_CHARACTERS

UNKNOWN_WORD = "[unknown]"

QUOTED_CHARACTERS = 60
QUOTED_WORDS = 5
"""How much of a wrong text an error repeats."""


class InstructionError(ValueError):
    """The text is no instruction for this model; the text of the error says why."""


@dataclass(frozen=True)
class TokenizedInstruction:
    """What the text encoder takes for one instruction."""

    token_ids: NDArray[np.int64]
    """``(1, length)``: begin mark, text, end mark, padding."""
    attention_mask: NDArray[np.int64]
    """``(1, length)``: 1 up to the end mark, then 0."""


class InstructionTokenizer:
    """A tokenizer and the marks, padding and length that the text encoder expects around its ids."""

    def __init__(self, tokenizer: Tokenizer, config: TextConfig) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        highest_id = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
        if highest_id >= config.vocabulary_size:
            raise InstructionError(
                f"the tokenizer has id {highest_id}, the text encoder {config.vocabulary_size} entries"
            )
        self._tokenizer = tokenizer
        self._config = config

    @classmethod
    def from_json(cls, text: str, config: TextConfig) -> InstructionTokenizer:
        """From the text of ``tokenizer.json``.

        Raises:
            InstructionError: no tokenizer, or its ids exceed the text encoder's vocabulary.
        """
        try:
            tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # tokenizers raises plain Exception
            raise InstructionError(f"no tokenizer: {error}") from error
        return cls(tokenizer, config)

    def to_json(self) -> str:
        """The text of ``tokenizer.json``."""
        return str(self._tokenizer.to_str(pretty=True))

    def known_words(self) -> list[str]:
        """The entries of the vocabulary that are no marks, sorted."""
        return sorted(word for word in self._tokenizer.get_vocab() if not word.startswith("["))

    def encode(self, text: str) -> TokenizedInstruction:
        """Ids and mask of one instruction.

        Raises:
            InstructionError: it has no words, too many, or words that the model was never trained on.
        """
        room = self._config.length - 2
        if len(text) > MAX_INSTRUCTION_CHARACTERS:
            raise InstructionError(
                f"the instruction '{_quoted(text)}' has {len(text)} characters, allowed are 1 to "
                f"{MAX_INSTRUCTION_CHARACTERS}"
            )
        try:
            encoding = self._tokenizer.encode(text, add_special_tokens=False)
        except TypeError as error:  # half a surrogate pair, which no message can carry either
            raise InstructionError(f"the instruction {_quoted(text)!r} is no valid Unicode text") from error
        self._refuse_unknown(text, encoding.ids, encoding.offsets)
        if not 1 <= len(encoding.ids) <= room:
            raise InstructionError(
                f"the instruction '{_quoted(text)}' has {len(encoding.ids)} tokens, allowed are 1 to {room}"
            )
        used = [self._config.bos_id, *encoding.ids, self._config.eos_id]
        token_ids = np.full((1, self._config.length), self._config.pad_id, dtype=np.int64)
        token_ids[0, : len(used)] = used
        attention_mask = (np.arange(self._config.length) < len(used)).astype(np.int64)[None]
        return TokenizedInstruction(token_ids, attention_mask)

    def _refuse_unknown(self, text: str, ids: list[int], offsets: list[tuple[int, int]]) -> None:
        unknown_id = self._tokenizer.token_to_id(UNKNOWN_WORD)
        unknown = [text[a:b] for i, (a, b) in zip(ids, offsets, strict=True) if i == unknown_id]
        if unknown_id is not None and unknown:
            more = f" and {len(unknown) - QUOTED_WORDS} more words" if len(unknown) > QUOTED_WORDS else ""
            named = ", ".join(repr(_quoted(word)) for word in unknown[:QUOTED_WORDS])
            raise InstructionError(
                f"this model does not know {named}{more}; it knows: {' '.join(self.known_words())}"
            )


def _quoted(text: str) -> str:
    return text if len(text) <= QUOTED_CHARACTERS else f"{text[:QUOTED_CHARACTERS]}..."


def build_word_tokenizer(sentences: Iterable[str], config: TextConfig) -> InstructionTokenizer:
    """A tokenizer whose tokens are the words of the sentences, in lower case, punctuation apart.

    Raises:
        InstructionError: more words than the text encoder has entries for.
    """
    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    splitter = pre_tokenizers.Whitespace()
    texts = (normalizer.normalize_str(sentence) for sentence in sentences)
    words = sorted({word for text in texts for word, _ in splitter.pre_tokenize_str(text)})
    marks = {"[begin]": config.bos_id, "[end]": config.eos_id, "[pad]": config.pad_id}
    free = [i for i in range(config.vocabulary_size) if i not in marks.values()]
    if len(words) + 1 > len(free):
        raise InstructionError(f"{len(words)} words do not fit into a vocabulary of {config.vocabulary_size}")
    vocabulary = marks | dict(zip([UNKNOWN_WORD, *words], free, strict=False))
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN_WORD))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    return InstructionTokenizer(tokenizer, config)
