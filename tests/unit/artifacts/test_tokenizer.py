from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.networks import CONFIG, SENTENCES

from svam_ros.artifacts.tokenizer import InstructionError, InstructionTokenizer, build_word_tokenizer

TEXT = CONFIG.text


@pytest.fixture
def tokenizer() -> InstructionTokenizer:
    return build_word_tokenizer(SENTENCES, TEXT)


def test_ids_begin_and_end_with_the_marks_and_are_padded(tokenizer):
    encoded = tokenizer.encode("lift the pot")
    assert encoded.token_ids.shape == encoded.attention_mask.shape == (1, TEXT.length)
    assert encoded.token_ids.dtype == encoded.attention_mask.dtype == np.int64
    ids = encoded.token_ids[0].tolist()
    assert (ids[0], ids[4]) == (TEXT.bos_id, TEXT.eos_id)
    assert ids[5:] == [TEXT.pad_id] * (TEXT.length - 5)
    assert encoded.attention_mask[0].tolist() == [1] * 5 + [0] * (TEXT.length - 5)
    words = ids[1:4]
    assert len(set(words)) == 3
    assert not set(words) & {TEXT.bos_id, TEXT.eos_id, TEXT.pad_id}


def test_case_and_blanks_do_not_matter_but_order_does(tokenizer):
    plain = tokenizer.encode("lift the pot").token_ids
    assert np.array_equal(tokenizer.encode("  Lift  the POT ").token_ids, plain)
    assert not np.array_equal(tokenizer.encode("the pot lift").token_ids, plain)


def test_vocabulary_does_not_depend_on_the_order_of_the_sentences(tokenizer):
    assert build_word_tokenizer(reversed(SENTENCES), TEXT).to_json() == tokenizer.to_json()


def test_a_tokenizer_survives_its_file(tokenizer):
    again = InstructionTokenizer.from_json(tokenizer.to_json(), TEXT)
    assert np.array_equal(again.encode(SENTENCES[1]).token_ids, tokenizer.encode(SENTENCES[1]).token_ids)


def test_words_that_were_never_trained_are_named_with_those_that_were(tokenizer):
    with pytest.raises(InstructionError, match=r"does not know 'banana'; it knows: arms both carrot"):
        tokenizer.encode("lift the banana")


@pytest.mark.parametrize(("text", "count"), [("", 0), ("the " * 19, 19)])
def test_no_words_and_too_many_are_refused_never_cut(tokenizer, text, count):
    with pytest.raises(InstructionError, match=f"has {count} tokens, allowed are 1 to 18"):
        tokenizer.encode(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a" * 10_000, "has 10000 characters, allowed are 1 to 256"),
        ("lift " * 50, "has 50 tokens, allowed are 1 to 18"),
        ("u v w x y z " * 10, r"does not know 'u', 'v', 'w', 'x', 'y' and 55 more words; it knows: arms"),
        ("lift the \udcff", "is no valid Unicode text"),
    ],
)
def test_an_absurd_text_is_refused_with_a_sentence_that_does_not_repeat_it(tokenizer, text, words):
    with pytest.raises(InstructionError, match=words) as refusal:
        tokenizer.encode(text)
    assert len(str(refusal.value)) < 200


def test_the_longest_allowed_instruction_keeps_its_end_mark(tokenizer):
    assert tokenizer.encode("the " * 18).token_ids[0, -1] == TEXT.eos_id


def test_more_words_than_the_vocabulary_holds_are_refused():
    with pytest.raises(InstructionError, match="do not fit into a vocabulary of 8"):
        build_word_tokenizer(SENTENCES, dataclasses.replace(TEXT, vocabulary_size=8))
