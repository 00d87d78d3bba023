"""Likelihood of a cumulative logit model with crossed or nested random intercepts, by Laplace's approximation.

P(y <= k) = expit(threshold_k - x effect - sum of sd_f u_f), u standard normal. Two categories are logistic regression.

For each answer log P = log expit(a) + log expit(-b) + log(1 - exp(b - a)), a and b being the boundaries above and below
it less its predictor. The last term does not depend on the predictor, so that all derivatives by it are short, and the
log likelihood is concave in the random effects. These are found by Newton's method; the slope of the approximation in
the parameters is exact, by the chain rule through them. The factor of most levels has a diagonal block in the Hessian,
and is eliminated, so that only the others' levels make a dense matrix.

Source: Pinheiro, Bates 1995, Journal of Computational and Graphical Statistics 4, 12-35; Christensen 2019, vignette
"Cumulative link models" of R's ordinal; the slope: Skaug, Fournier 2006, Computational Statistics and Data Analysis 51,
699-709.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class _Answers:
    """Per answer: log likelihood and its derivatives by the predictor, and by the boundaries above and below it."""

    value: Floats
    first: Floats
    second: Floats
    third: Floats
    upper_slope: Floats
    lower_slope: Floats
    upper_weight: Floats
    lower_weight: Floats
    upper_skew: Floats
    lower_skew: Floats


@dataclass(frozen=True)
class _Inverse:
    """Of the Hessian I + sds Z' W Z sds, in two blocks: the eliminated factor (only the diagonal), and the others."""

    diagonal: Floats
    shared: Floats
    small: Floats
    log_determinant: float

    @functools.cached_property
    def cross(self) -> Floats:
        """Entries between the eliminated factor and the others."""
        return np.asarray(-self.shared @ self.small, np.float64)

    @functools.cached_property
    def large(self) -> Floats:
        """Diagonal of the eliminated factor."""
        return np.asarray(1 / self.diagonal - (self.shared * self.cross).sum(axis=1), np.float64)

    def solve(self, parts: Sequence[Floats]) -> list[Floats]:
        """Times a vector in the same two blocks."""
        small = self.small @ (parts[1] - self.shared.T @ parts[0])
        return [parts[0] / self.diagonal - self.shared @ small, small]


class CrossedModel:
    """Answers in ordered categories with their fixed columns and factors; keeps the last random effects to start from.

    Args:
        levels: int64 (n,), category of each answer, 0 .. num_levels - 1, every one used.
        design: float64 (n, columns), fixed effects without an intercept; columns may be 0.
        factors: each int64 (n,), level of a random intercept, 0 .. its number - 1, every one used; at least one.
    """

    def __init__(self, *, levels: Codes, design: Floats, factors: Sequence[Codes]) -> None:
        self._levels = levels
        self._design = design
        self.num_thresholds = int(levels.max())
        self.num_effects = design.shape[1]
        sizes = [int(codes.max()) + 1 for codes in factors]
        self._large = int(np.argmax(sizes))
        self._small = [number for number in range(len(sizes)) if number != self._large]
        starts = np.cumsum([0] + [sizes[number] for number in self._small])
        self._num_large, self._num_small = sizes[self._large], int(starts[-1])
        # Row of the eliminated factor, and of each other in their common matrix.
        self._rows = list(factors)
        for place, number in enumerate(self._small):
            self._rows[number] = factors[number] + starts[place]
        self._random = [np.zeros(self._num_large), np.zeros(self._num_small)]

    @property
    def num_sds(self) -> int:
        """Random factors."""
        return len(self._rows)

    def evaluate(self, parameters: Floats) -> tuple[float, Floats]:
        """Log likelihood, and its slope in thresholds, effects and sds.

        Args:
            parameters: float64, thresholds (strictly rising), effects and sds.
        """
        ends = np.cumsum([self.num_thresholds, self.num_effects])
        thresholds, effects, sds = np.split(parameters, ends)
        fixed = self._design @ effects
        answers, inverse = self._settle(thresholds, fixed, sds)
        random = sum(float(part @ part) for part in self._random)
        value = float(answers.value.sum()) - 0.5 * random - 0.5 * inverse.log_determinant
        pulls = [self._pull(number, inverse, sds) for number in range(self.num_sds)]
        leverage = np.tensordot(sds, np.array(pulls), 1)
        # A move of the predictor changes the determinant at once, and through the random effects.
        skewed = 0.5 * leverage * answers.third
        back = inverse.solve(self._gather(skewed, sds))
        moved = self._spread(back, sds)
        total = answers.first + skewed + moved * answers.second
        slope_sds = [
            float(
                self._take(self._random, number) @ total
                + self._take(back, number) @ answers.first
                + answers.second @ pulls[number]
            )
            for number in range(self.num_sds)
        ]
        upper = answers.upper_slope - 0.5 * leverage * answers.upper_skew + moved * answers.upper_weight
        lower = answers.lower_slope - 0.5 * leverage * answers.lower_skew + moved * answers.lower_weight
        count = self.num_thresholds + 1
        slope_thresholds = np.bincount(self._levels, upper, count)[:-1] + np.bincount(self._levels, lower, count)[1:]
        return value, np.concatenate([slope_thresholds, self._design.T @ total, slope_sds])

    def _settle(self, thresholds: Floats, fixed: Floats, sds: Floats) -> tuple[_Answers, _Inverse]:
        """The random effects at which the joint density is largest, by Newton's method with halved steps."""
        answers = self._answer(thresholds, fixed + self._spread(self._random, sds))
        joint = float(answers.value.sum()) - 0.5 * sum(float(part @ part) for part in self._random)
        for _ in range(100):
            inverse = self._invert(-answers.second, sds)
            slope = [got - part for got, part in zip(self._gather(answers.first, sds), self._random, strict=True)]
            step = inverse.solve(slope)
            if max(float(np.abs(part).max(initial=0)) for part in step) < 1e-10:
                break
            before, size = self._random, 1.0
            while True:
                self._random = [part + size * move for part, move in zip(before, step, strict=True)]
                tried = self._answer(thresholds, fixed + self._spread(self._random, sds))
                got = float(tried.value.sum()) - 0.5 * sum(float(part @ part) for part in self._random)
                # Rounding of the sum: at the top no step can be seen to rise.
                if got >= joint - 1e-9 * abs(joint) or size < 1e-6:
                    break
                size /= 2
            answers, joint = tried, got
        return answers, inverse

    def _answer(self, thresholds: Floats, predictor: Floats) -> _Answers:
        bounds = np.concatenate([[-np.inf], thresholds, [np.inf]])
        above, below = bounds[self._levels + 1] - predictor, bounds[self._levels] - predictor
        upper, lower = expit(above), expit(below)
        gaps = np.concatenate([[np.inf], np.diff(thresholds), [np.inf]])[self._levels]
        upper_weight, lower_weight = upper * (1 - upper), lower * (1 - lower)
        upper_skew, lower_skew = upper_weight * (1 - 2 * upper), lower_weight * (1 - 2 * lower)
        with np.errstate(over="ignore"):
            apart = 1 / np.expm1(gaps)
        return _Answers(
            value=log_expit(above) + log_expit(-below) + np.log(-np.expm1(-gaps)),
            first=upper + lower - 1,
            second=-upper_weight - lower_weight,
            third=upper_skew + lower_skew,
            upper_slope=1 - upper + apart,
            lower_slope=-lower - apart,
            upper_weight=upper_weight,
            lower_weight=lower_weight,
            upper_skew=upper_skew,
            lower_skew=lower_skew,
        )

    def _take(self, parts: Sequence[Floats], number: int) -> Floats:
        return parts[0 if number == self._large else 1][self._rows[number]]

    def _spread(self, parts: Sequence[Floats], sds: Floats) -> Floats:
        """What the random effects (of the eliminated factor, of the others) add to each answer's predictor."""
        added = np.zeros(len(self._levels))
        for number in range(self.num_sds):
            added += sds[number] * self._take(parts, number)
        return added

    def _gather(self, values: Floats, sds: Floats) -> list[Floats]:
        """The transpose of `_spread`."""
        small = np.zeros(self._num_small)
        for number in self._small:
            small += sds[number] * np.bincount(self._rows[number], values, self._num_small)
        return [sds[self._large] * np.bincount(self._rows[self._large], values, self._num_large), small]

    def _invert(self, weights: Floats, sds: Floats) -> _Inverse:
        large, rows, width = sds[self._large], self._rows[self._large], self._num_small
        diagonal = 1 + large**2 * np.bincount(rows, weights, self._num_large)
        beside = np.zeros((self._num_large, width))
        dense = np.eye(width)
        for number in self._small:
            counts = np.bincount(rows * width + self._rows[number], weights, self._num_large * width)
            beside += large * sds[number] * counts.reshape(beside.shape)
            for other in self._small:
                counts = np.bincount(self._rows[number] * width + self._rows[other], weights, width**2)
                dense += sds[number] * sds[other] * counts.reshape(dense.shape)
        shared = beside / diagonal[:, None]
        schur = dense - beside.T @ shared
        return _Inverse(
            diagonal=diagonal,
            shared=shared,
            small=np.linalg.inv(schur),
            log_determinant=float(np.log(diagonal).sum() + np.linalg.slogdet(schur)[1]),
        )

    def _pull(self, number: int, inverse: _Inverse, sds: Floats) -> Floats:
        """Per answer, the row of the inverse that belongs to its level of a factor, times the answer's row of Z sds."""
        pull = np.zeros(len(self._levels))
        mine = self._rows[number]
        for other, theirs in enumerate(self._rows):
            if number == other == self._large:
                entry = inverse.large[mine]
            elif number == self._large:
                entry = inverse.cross[mine, theirs]
            elif other == self._large:
                entry = inverse.cross[theirs, mine]
            else:
                entry = inverse.small[mine, theirs]
            pull += sds[other] * entry
        return pull
