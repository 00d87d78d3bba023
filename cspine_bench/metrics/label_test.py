"""Could the readers have done as well if the labels had been dealt out by chance? Exact, whatever readers share.

The readers' answers stay as they are; what is up to chance is which image of a case was the real one. So readers who
copy from each other, who like one pane, or who all fall for the same image make the test neither too bold nor too shy.
"""

from collections.abc import Sequence
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
        readers: with at least one such answer.
        cases: likewise.
        cases_left_out: without such an answer, or without the label.
        answers_missing: picks not made, in all cases.
        mean: of k over all labels, each as likely as the other.
        sd: likewise.
        deff: variance of k over that of n independent answers; None: no variance.
        p_greater: of k or more.
        p_less: of k or less.
        p_two: of a count as far from the mean, on either side.
        reason: why p values are not defined; "" where they are.
        probability: float64 (most hits possible + 1,), of each count under the null hypothesis.
    """

    k: int
    n: int
    readers: int
    cases: int
    cases_left_out: int
    answers_missing: int
    mean: float | None = None
    sd: float | None = None
    deff: float | None = None
    p_greater: float | None = None
    p_less: float | None = None
    p_two: float | None = None
    reason: str = ""
    probability: NDArray[np.float64] = field(default_factory=lambda: np.ones(1), repr=False, compare=False)


def label_test(picks: Ints, *, labels: Ints, num_images: Ints | int) -> LabelTest:
    """Picks of the labelled image of each case, if the label were on any of its images alike.

    Cases are independent; what readers have in common within a case is left as it is.

    Args:
        picks: int (readers, cases), number of the image picked, 0 .. num_images - 1, by image and not by pane where
            panes differ between readers; MISSING: none.
        labels: int (cases,), number of the labelled image; MISSING: the case has none, and is left out and counted.
        num_images: of each case, int (cases,), or one for all; at least 2.

    Raises:
        ValueError: shapes differ, or a pick or label is no image of its case.

    Source: randomisation test (Fisher 1935, The Design of Experiments, chapter 2) of labels within cases; its null
    distribution is the convolution of those of the cases.
    """
    picks, labels = np.asarray(picks), np.asarray(labels)
    if picks.ndim != 2 or labels.shape != picks.shape[1:]:
        raise ValueError(f"needs picks (readers, cases) and labels (cases,), got {picks.shape} and {labels.shape}")
    sizes = np.broadcast_to(np.asarray(num_images), labels.shape)
    _check_numbers("num_images", sizes, 2, np.inf)
    _check_numbers("labels", labels, MISSING, sizes)
    _check_numbers("picks", picks, MISSING, sizes)
    used = labels != MISSING
    cases = [np.bincount(picks[picks[:, case] >= 0, case], minlength=sizes[case]) for case in np.flatnonzero(used)]
    return _test_cases(cases, labels[used], picks[:, used] != MISSING, np.sum(~used), np.sum(picks == MISSING))


def swap_test(picks: Ints, *, labels: Ints, others: Ints) -> LabelTest:
    """Picks of the labelled image rather than of one other, if the two labels were as likely the other way round.

    Args:
        picks: int (readers, cases), number of the image picked; picks of neither of the two are no answers here, and
            are not counted in n; MISSING: none.
        labels: int (cases,), number of the labelled image (the real one).
        others: int (cases,), number of the one it is held against (of one source); MISSING in either: left out.

    Raises:
        ValueError: shapes differ, a number is below MISSING, or a case's two images are one.

    Source: as `label_test`, with two labels to deal in each case.
    """
    picks, labels, others = np.asarray(picks), np.asarray(labels), np.asarray(others)
    if picks.ndim != 2 or labels.shape != picks.shape[1:] or others.shape != labels.shape:
        raise ValueError(
            "needs picks (readers, cases), labels (cases,) and others (cases,), "
            f"got {picks.shape}, {labels.shape} and {others.shape}"
        )
    for name, numbers in (("picks", picks), ("labels", labels), ("others", others)):
        _check_numbers(name, numbers, MISSING, np.inf)
    used = (labels != MISSING) & (others != MISSING)
    if (labels[used] == others[used]).any():
        raise ValueError(f"case {int(np.flatnonzero(used & (labels == others))[0])}: labels and others are one image")
    mine, its = picks[:, used] == labels[used], picks[:, used] == others[used]
    cases = list(np.stack([mine.sum(axis=0), its.sum(axis=0)], axis=1))
    return _test_cases(cases, np.zeros(len(cases), np.int64), mine | its, np.sum(~used), np.sum(picks == MISSING))


def single_image_test(answers: Ints, *, labels: Ints) -> LabelTest:
    """Right answers about single images, if the same number of "real" labels had been dealt to any of them alike.

    Args:
        answers: int (readers, images), 1: called real; 0: called synthetic; MISSING: none.
        labels: int (images,), 1: real; 0: synthetic. Images without an answer are left out and counted; the labels are
            dealt among the others.

    Raises:
        ValueError: shapes differ, or other numbers.

    Source: as `label_test`; the null distribution by recursion over the images, of how many real labels were dealt and
    how many answers were right with them.
    """
    answers, labels = np.asarray(answers), np.asarray(labels)
    if answers.ndim != 2 or labels.shape != answers.shape[1:]:
        raise ValueError(f"needs answers (readers, images) and labels (images,), got {answers.shape}, {labels.shape}")
    _check_numbers("labels", labels, 0, 2)
    _check_numbers("answers", answers, MISSING, 2)
    given = answers != MISSING
    read = given.any(axis=0)
    called_real, total = (answers == 1).sum(axis=0)[read], given.sum(axis=0)[read]
    called_synthetic = total - called_real
    num_images, num_real = int(read.sum()), int(labels[read].sum())
    # So many answers are right whichever label an image has; the table counts those above.
    sure = np.minimum(called_real, called_synthetic)
    table = np.ones((num_real + 1, 1))
    table[1:] = 0
    for place, (if_real, if_synthetic) in enumerate(zip(called_real - sure, called_synthetic - sure, strict=True)):
        # Of the labels not yet dealt, so many are real; each is as likely to come next as any other.
        p_real = np.clip((num_real - np.arange(num_real + 1)) / (num_images - place), 0, 1)[:, None]
        width = table.shape[1]
        step = np.zeros((num_real + 1, width + if_real + if_synthetic))
        step[:, if_synthetic : if_synthetic + width] = table * (1 - p_real)
        step[1:, if_real : if_real + width] += (table * p_real)[:-1]
        table = step
    rate = num_real / max(num_images, 1)
    return _summarise(
        probability=np.concatenate([np.zeros(int(sure.sum())), table[num_real]]),
        k=int(np.where(labels[read] == 1, called_real, called_synthetic).sum()),
        n=int(total.sum()),
        independent_variance=float(total.sum()) * rate * (1 - rate),
        readers=int(given.any(axis=1).sum()),
        cases=num_images,
        cases_left_out=int(np.sum(~read)),
        answers_missing=int(np.sum(~given)),
        reason="all images have one label, so that no other deal is possible" if rate in (0, 1) else "",
    )


def _check_numbers(name: str, numbers: Ints, least: int, below: Any) -> None:
    if not np.issubdtype(numbers.dtype, np.integer):
        raise ValueError(f"{name} must be integers, got {numbers.dtype}")
    wrong = (numbers < least) | (numbers >= below)
    if wrong.any():
        place = tuple(int(at[0]) for at in np.nonzero(wrong))
        raise ValueError(f"{name} at {place} is {int(numbers[place])}, outside what its case has")


def _test_cases(
    cases: Sequence[Ints],
    observed: Ints,
    answered: NDArray[np.bool_],
    left_out: np.integer[Any],
    missing: np.integer[Any],
) -> LabelTest:
    """From how many picks each possible label of each case would have as hits, and which label it has."""
    with_answers = [place for place, counts in enumerate(cases) if counts.sum() > 0]
    probability = np.ones(1)
    for place in with_answers:
        counts = cases[place]
        probability = np.convolve(probability, np.bincount(counts) / len(counts))
    picked = [int(cases[place].sum()) for place in with_answers]
    chances = [1 / len(cases[place]) for place in with_answers]
    return _summarise(
        probability=probability,
        k=sum(int(cases[place][observed[place]]) for place in with_answers),
        n=sum(picked),
        independent_variance=sum(n * p * (1 - p) for n, p in zip(picked, chances, strict=True)),
        readers=int(answered.any(axis=1).sum()),
        cases=len(with_answers),
        cases_left_out=int(left_out) + len(cases) - len(with_answers),
        answers_missing=int(missing),
    )


def _summarise(
    *,
    probability: NDArray[np.float64],
    k: int,
    n: int,
    independent_variance: float,
    readers: int,
    cases: int,
    cases_left_out: int,
    answers_missing: int,
    reason: str = "",
) -> LabelTest:
    if n == 0:
        return LabelTest(k, n, readers, cases, cases_left_out, answers_missing, reason="no answers")
    hits = np.arange(len(probability))
    mean = float(hits @ probability)
    variance = float((hits - mean) ** 2 @ probability)
    # A count as far on the other side belongs in, whatever rounding says.
    as_far = np.abs(hits - mean) >= abs(k - mean) - 1e-9 * max(1.0, mean)
    return LabelTest(
        k=k,
        n=n,
        mean=mean,
        sd=variance**0.5,
        deff=variance / independent_variance if independent_variance > 0 else None,
        p_greater=None if reason else min(1.0, float(probability[k:].sum())),
        p_less=None if reason else min(1.0, float(probability[: k + 1].sum())),
        p_two=None if reason else min(1.0, float(probability[as_far].sum())),
        readers=readers,
        cases=cases,
        cases_left_out=cases_left_out,
        answers_missing=answers_missing,
        reason=reason,
        probability=probability,
    )
