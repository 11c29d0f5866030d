from pathlib import Path
from typing import Any

import pytest

transformers = pytest.importorskip("transformers")

from deployments.demo.tokenizers import WORDS, clip_tokenizer, t5_tokenizer  # noqa: E402

TEXTS = ["A big RED circle, on the left.", "photo of 3 zebras", "naïve 漢字 ☂", ""]


@pytest.fixture(scope="module", params=["t5", "clip"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return t5_tokenizer() if request.param == "t5" else clip_tokenizer()


def test_a_saved_tokenizer_reads_texts_as_before(tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    loaded = type(tokenizer).from_pretrained(tmp_path)
    assert [loaded(text).input_ids for text in TEXTS] == [tokenizer(text).input_ids for text in TEXTS]


def test_a_listed_word_is_one_token(tokenizer: Any) -> None:
    assert all(len(tokenizer.tokenize(word)) == 1 for word in WORDS)


def test_any_text_ends_where_it_ends(tokenizer: Any) -> None:
    for text in TEXTS:
        ids = tokenizer(text).input_ids
        assert ids.index(tokenizer.eos_token_id) == len(ids) - 1


def test_different_unknown_words_read_differently(tokenizer: Any) -> None:
    assert tokenizer("a cat").input_ids != tokenizer("a dog").input_ids
