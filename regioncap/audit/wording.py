"""How alike two captions are, by the words that they share: tf-idf and cosine similarity.

No model: the weights come from the captions of the audit itself, so a word that nearly all of them hold ("a", "the")
weighs next to nothing, and one that few hold weighs most. Source of the weights: Salton and Buckley, "Term-weighting
approaches in automatic text retrieval", Information Processing & Management 24(5), 1988, 513-523.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from regioncap.output.caption_flags import UNSPACED, words_of

FloatArray = npt.NDArray[np.float64]

MAX_CHARACTERS = 3
"""Longest run of characters that counts as a term in scripts written without spaces."""

_UNSPACED_RUN = re.compile(f"{UNSPACED}+")


def terms_of(caption: str) -> list[str]:
    """The terms of a caption: its words in lower case; in scripts without spaces, runs of one to three characters.

    >>> terms_of("A Dog"), terms_of("白狗")
    (['a', 'dog'], ['白', '狗', '白狗'])
    """
    text = unicodedata.normalize("NFKC", caption).casefold()
    terms = words_of(text)
    for run in _UNSPACED_RUN.findall(text):
        for length in range(2, MAX_CHARACTERS + 1):
            terms += [run[start : start + length] for start in range(len(run) - length + 1)]
    return terms


class Wording:
    """The weights of all terms in a collection of captions."""

    def __init__(self, captions: Iterable[str]) -> None:
        self._terms: dict[str, dict[str, float]] = {}
        """By caption, the weight that the number of its occurrences gives each term."""
        every = list(captions)
        holding = Counter(term for caption in every for term in self._terms_of(caption))
        self._weights = {term: math.log(len(every) / held) for term, held in holding.items()}

    def vectors(self, captions: Sequence[str | None]) -> FloatArray:
        """The captions as (N, terms) float64 rows of length 1; zeros for None and for captions without any weight.

        The columns are the terms of these captions: only vectors of one call may be compared, by their dot product,
        which is then the cosine similarity, 0..1. Terms that the collection lacks weigh nothing.
        """
        columns: dict[str, int] = {}
        cells: list[tuple[int, int, float]] = []
        for index, caption in enumerate(captions):
            for term, weight in self._terms_of(caption or "").items():
                column = columns.setdefault(term, len(columns))
                cells.append((index, column, self._weights.get(term, 0.0) * weight))
        found = np.zeros((len(captions), len(columns)))
        if cells:
            rows, terms, weights = zip(*cells, strict=True)
            found[list(rows), list(terms)] = weights
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        vectors: FloatArray = np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 0)
        return vectors

    def _terms_of(self, caption: str) -> dict[str, float]:
        if caption not in self._terms:
            self._terms[caption] = {term: 1 + math.log(times) for term, times in Counter(terms_of(caption)).items()}
        return self._terms[caption]
