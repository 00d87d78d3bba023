"""Could the readers have done as well if the labels had been dealt out by chance? Exact, whatever readers share.

The readers' answers stay as they are; what is up to chance is which image of a case was the real one. So readers who
copy from each other, who like one pane, or who all fall for the same image make the test neither too bold nor too shy.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer[Any]]

MISSING = -1
"""A pick that was not made, and a label that a case does not have."""


@dataclass(frozen=True)
class LabelTest:
    """A count of hits against all the labels that might have been.

    Attributes:
        k: hits.
        n: answers that could hit; picks of neither of two swapped images are none.
        mean: of k over all labels, each as likely as the other.
        sd: likewise.
        deff: variance of k over that of n independent answers; None: no variance.
        p_greater: of k or more.
        p_less: of k or less.
        p_two: of a count as far from the mean, on either side.
        readers: with at least one such answer.
        cases: likewise.
        cases_left_out: without such an answer, or without the label.
        answers_missing: picks not made, in all cases.
        reason: why p values are not defined; "" where they are.
        probability: float64 (most hits possible + 1,), of each count under the null hypothesis.
    """

    k: int
    n: int
    mean: float | None
    sd: float | None
    deff: float | None
    p_greater: float | None
    p_less: float | None
    p_two: float | None
    readers: int
    cases: int
    cases_left_out: int
    answers_missing: int
    reason: str = ""
    probability: NDArray[np.float64] = field(default_factory=lambda: np.ones(1), repr=False, compare=False)


def label_test(picks: Ints, *, labels: Ints, num_images: Ints | int) -> LabelTest:
    """Picks of the labelled image of each case, if the label were on any of its images alike.

    Args:
        picks: int (readers, cases), number of the image picked, 0 .. num_images - 1; MISSING: none.
        labels: int (cases,), number of the labelled image; MISSING: the case has none, and is left out and counted.
        num_images: of each case, int (cases,), or one for all; at least 2.
    """
    raise NotImplementedError


def swap_test(picks: Ints, *, labels: Ints, others: Ints) -> LabelTest:
    """Picks of the labelled image rather than of one other, if the two labels were as likely the other way round.

    Args:
        picks: int (readers, cases), number of the image picked; MISSING: none.
        labels: int (cases,), number of the labelled image (the real one).
        others: int (cases,), number of the one it is held against (of one source); MISSING in either: left out.
    """
    raise NotImplementedError


def single_image_test(answers: Ints, *, labels: Ints) -> LabelTest:
    """Right answers about single images, if as many labels had been dealt to any of them.

    Args:
        answers: int (readers, images), 1: called real; 0: called synthetic; MISSING: none.
        labels: int (images,), 1: real; 0: synthetic.
    """
    raise NotImplementedError
