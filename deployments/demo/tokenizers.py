"""Local T5 and CLIP tokenizers, built from a word list: no downloads, every text has tokens."""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer, T5Tokenizer

WORDS = """
    a an the one of and on in at to with is are that there it against next over under beneath left right
    above below top bottom center middle centered upper lower side corner half picture image drawing
    painting photo video clip illustration draw paint show me background backdrop plain solid circle square
    triangle star red green blue yellow orange purple pink cyan white black gray brown small little tiny
    medium large big huge high quality simple flat design clean minimalist detailed digital art moving
    slowly quickly fast slow up down from still growing shrinking appears
""".split()  # noqa: SIM905 (a hundred quotes more would hide the words)
SPACE = "\u2581"
START, END = "<|startoftext|>", "<|endoftext|>"


def spellings(word: str) -> list[str]:
    """How a word may be written: the T5 tokenizer knows case, so each spelling is a piece of its own."""
    return list(dict.fromkeys((word, word.capitalize(), word.upper())))


def t5_tokenizer(max_length: int = 512, words: Sequence[str] = WORDS) -> Any:
    """A Unigram `T5Tokenizer`: listed words are one piece, any other text is spelled out."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), (SPACE, -6.0)]
    pieces += [(SPACE + text, -3.0) for word in words for text in spellings(word)]
    pieces += [(letter, -9.0) for letter in string.ascii_letters + string.digits + string.punctuation]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=max_length)


def clip_tokenizer(max_length: int = 32) -> Any:
    """A byte-pair `CLIPTokenizer` (it lowers case itself) whose merges come from the word list.

    The trainer takes words in no fixed order; letters that have their numbers beforehand keep it from
    numbering the vocabulary differently in every process.
    """
    known = CLIPTokenizer()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.normalizer = known._tokenizer.normalizer
    trained.pre_tokenizer = known._tokenizer.pre_tokenizer
    letters = string.ascii_lowercase + string.digits + string.punctuation
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        min_frequency=2,
        special_tokens=[START, END, *(letter + "</w>" for letter in letters)],
        end_of_word_suffix="</w>",
        initial_alphabet=alphabet,
        show_progress=False,
    )
    corpus = [" ".join(WORDS)] * 50 + [" ".join(f"{c} {c}a a{c}" for c in letters)]
    trained.train_from_iterator(corpus, trainer)
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    vocab: dict[str, int] = model["vocab"]
    for byte in alphabet:  # every byte can also end a word; otherwise it would read as the end of the text
        vocab.setdefault(byte + "</w>", len(vocab))
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=max_length)
