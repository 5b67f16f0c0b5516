"""All pairs of an audit with their verdicts, and the shares of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from regioncap.audit.intervals import Bootstrap, Share, share_of
from regioncap.audit.likeness import BoolArray, Likeness, Yardstick, stacked
from regioncap.audit.rows import AGAIN
from regioncap.audit.verdicts import judge
from regioncap.audit.wording import FloatArray


@dataclass(frozen=True)
class Judgements:
    """The pairs of an audit, judged at each node of the bootstrap.

    `rows`, `boxes`: (pairs,) indices. `askings`: (pairs,) names of askings, the control among them. `follows`,
    `follows_another`: (nodes, pairs). `decided`, `not_another`: what follows from those.
    """

    rows: npt.NDArray[np.intp]
    boxes: npt.NDArray[np.intp]
    askings: npt.NDArray[np.str_]
    follows: BoolArray
    follows_another: BoolArray
    bootstrap: Bootstrap

    @classmethod
    def of(cls, likeness: Sequence[Likeness], bootstrap: Bootstrap) -> Judgements:
        """Judge all pairs. `likeness`: of the rows that the bootstrap draws."""
        yardsticks = [Yardstick(float(alike)) for alike in bootstrap.nodes]
        rows, boxes = [np.empty(0, dtype=np.intp)], [np.empty(0, dtype=np.intp)]
        askings, verdicts = [np.empty(0, dtype="<U1")], [np.empty((len(yardsticks), 2, 0), dtype=bool)]
        sizes = np.array([len(row.within) for row in likeness])
        for size, asking in product(np.unique(sizes), AGAIN):
            of_size = np.flatnonzero(sizes == size)
            group = stacked([likeness[index] for index in of_size.tolist()])
            row, box = np.nonzero(group.paired[asking])
            judged = [judge(group, asking, yardstick) for yardstick in yardsticks]
            rows.append(of_size[row])
            boxes.append(box)
            askings.append(np.full(len(box), asking))
            verdicts.append(np.array([[one.follows[row, box], one.follows_another[row, box]] for one in judged]))
        follows, another = np.moveaxis(np.concatenate(verdicts, axis=2), 1, 0)
        return cls(np.concatenate(rows), np.concatenate(boxes), np.concatenate(askings), follows, another, bootstrap)

    @property
    def decided(self) -> BoolArray:
        """Whether the pair follows one box or the other."""
        return self.follows | self.follows_another

    def share(
        self, hits: BoolArray, among: BoolArray, chosen: BoolArray, *, min_rows: int = 1, min_pairs: int = 1
    ) -> Share:
        """The share of `hits` among the pairs that are `among` and `chosen`.

        Each is (pairs,), the first two also (nodes, pairs). `min_rows`, `min_pairs`: see `share_of`.
        """
        hit, whole = (self._by_row(each & chosen) for each in (hits & among, among))
        return share_of(hit, whole, self.bootstrap, min_rows=min_rows, min_pairs=min_pairs)

    def _by_row(self, pairs: BoolArray) -> FloatArray:
        """(nodes, rows): the number of these pairs in each row."""
        at_nodes = np.broadcast_to(pairs, self.follows.shape)
        return np.array([np.bincount(self.rows[each], minlength=self.bootstrap.rows) for each in at_nodes], dtype=float)
