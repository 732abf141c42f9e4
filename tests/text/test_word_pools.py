"""The words are those the reference draws from."""

from __future__ import annotations

import hashlib
import itertools
import random

import pytest

from ropepp_eval.text.word_pools import adjective_nouns, all_words, word_list


def test_the_list_for_common_words_is_the_references() -> None:
    assert len(all_words()) == 8166
    digest = hashlib.sha256("\n".join(all_words()).encode()).hexdigest()
    assert digest == "393572555cfe9c15fd065aa9df0e9e91368cff81418b4d78025e9a4f57fe2ac4"


def test_the_pool_of_pairs_is_indexed_without_being_built() -> None:
    pool = adjective_nouns()
    assert len(pool) == 6_171_620
    assert pool[0] == f"{word_list('adjectives')[0]}-{word_list('nouns')[0]}"
    assert pool[-1] == pool[len(pool) - 1] == f"{word_list('adjectives')[-1]}-{word_list('nouns')[-1]}"
    assert pool[5:8] == [pool[5], pool[6], pool[7]]
    assert pool.draw(random.Random(1)) == pool.draw(random.Random(1))
    with pytest.raises(IndexError):
        pool[len(pool)]


@pytest.mark.slow
def test_the_pool_of_pairs_is_the_references() -> None:
    in_order = (
        pair for pair, _ in itertools.groupby(sorted(adjective_nouns()))
    )  # sorted: quick, since most of it is in order
    digest = hashlib.sha256("\n".join(in_order).encode()).hexdigest()
    assert digest == "e5e6a09ed20903cb4abfcde8b89d1a40d4133a6fcff97001c690c21d97af3007"
