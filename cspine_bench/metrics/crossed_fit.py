"""Maximum likelihood of the model of `metrics.crossed_effects`, and when there is none.

The search is over standard deviations at or above 0, and ends with Newton's steps. A standard deviation of 0 is a
stationary point whatever the data, so that there the slope in the variance decides whether it stays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import optimize

from cspine_bench.metrics.crossed_effects import Codes, CrossedModel, Floats

LARGEST_SD: Final = 12.0
"""On the logit scale, where answers of one level hardly ever differ. An end of the search, not a finding."""
SMALLEST_SD: Final = 1e-3
"""The other end of the search, which stands for 0."""
STARTS: Final = (0.1, 0.7)
"""Standard deviations that the searches start from."""
LARGEST_SLOPE: Final = 1e-4
"""Of the log likelihood in any parameter, below which its top counts as found."""
LARGEST_RISE: Final = 1e-2
"""Of the log likelihood in a variance at 0, likewise: a hundredth of a squared logit would add a ten-thousandth."""


@dataclass(frozen=True)
class CrossedFit:
    """What was found.

    Attributes:
        thresholds: float64 (categories - 1,), rising.
        effects: float64 (columns,).
        sds: float64 (factors,), at least 0.
        covariance: float64 of thresholds, effects and sds in that order, from the Hessian in all parameters; NaN for
            standard deviations of 0; None where the Hessian is not definite.
        log_likelihood: Laplace's approximation.
        slope: largest slope left, in any parameter.
        converged: whether slope is small, the Hessian definite, no standard deviation at the end of the search, and
            none at 0 that should leave it.
        unbounded: numbers of the factors whose standard deviation is at the end of the search, so that none of the
            values means anything.
        reason: why not; empty where it is.
        note: of a second top at larger spreads; empty where none was met.
    """

    thresholds: Floats
    effects: Floats
    sds: Floats
    covariance: Floats | None
    log_likelihood: float
    slope: float
    converged: bool
    unbounded: tuple[int, ...]
    reason: str = ""
    note: str = ""


def fit_crossed(
    *, levels: Codes, design: Floats, factors: Sequence[Codes], fixed_at_zero: Sequence[bool] | None = None
) -> CrossedFit:
    """Fit thresholds, effects and standard deviations; the top must exist, see `find_separation`.

    Two searches start from small and from larger spreads. Where they end at different tops, as with very few correct
    answers, that of the smaller spreads is kept and the other noted: Laplace's approximation is good where levels
    differ little, and too high where they differ so much that all answers of most levels are alike.

    Args:
        levels: int64 (n,), category of each answer, 0 .. the largest, every one used, at least two.
        design: float64 (n, columns), fixed effects without an intercept.
        factors: each int64 (n,), level of a random intercept, 0 .. its number - 1, every one used; at least one.
        fixed_at_zero: per factor, whether its standard deviation stays 0; None: of none.
    """
    model = CrossedModel(levels=levels, design=design, factors=factors)
    open_sds = ~np.array(fixed_at_zero if fixed_at_zero is not None else [False] * len(factors))
    ends = model.num_thresholds + model.num_effects
    shares = np.cumsum(np.bincount(levels))[:-1] / len(levels)
    fixed = np.concatenate([np.log(shares / (1 - shares)), np.zeros(model.num_effects)])
    parameters, further = (_climb(model, np.concatenate([fixed, sd * open_sds])) for sd in STARTS)
    gain = model.evaluate(further)[0] - model.evaluate(parameters)[0]
    if parameters[ends:].max() > 0.99 * LARGEST_SD >= further[ends:].max():
        parameters, gain = further, 0.0
    parameters[ends:][parameters[ends:] < 2 * SMALLEST_SD] = 0.0
    unbounded = tuple(np.flatnonzero(parameters[ends:] > 0.99 * LARGEST_SD).tolist())
    covariance = None
    if not unbounded:
        parameters, covariance = _polish(model, parameters)
    value, slope = model.evaluate(parameters)
    rises = [
        _measure_rise(model, parameters, ends + number)
        for number in np.flatnonzero(open_sds & (parameters[ends:] == 0))
    ]
    largest = float(np.abs(slope).max())
    reason = _find_fault(covariance, largest, max(rises, default=0.0), unbounded)
    thresholds, effects, sds = np.split(parameters, [model.num_thresholds, ends])
    note = ""
    if gain > LARGEST_SLOPE and not unbounded:
        note = f"the approximate log likelihood has a second top, higher by {gain:.2g}, at larger spreads"
    return CrossedFit(thresholds, effects, sds, covariance, value, largest, reason == "", unbounded, reason, note)


def _find_fault(covariance: Floats | None, slope: float, rise: float, unbounded: tuple[int, ...]) -> str:
    if unbounded:
        return "a spread grows without end"
    if covariance is None:
        return "the log likelihood is not curved downwards in every direction where the search ended"
    if not slope <= LARGEST_SLOPE:
        return f"the log likelihood still rises with a slope of {slope:.2g} where the search ended"
    if not rise <= LARGEST_RISE:
        return f"the log likelihood rises with a slope of {rise:.2g} from a variance of 0, where the search ended"
    return ""


def _climb(model: CrossedModel, parameters: Floats) -> Floats:
    """The search: over the lowest threshold, the logs of the steps to the next, the effects, and the variances.

    So thresholds stay in order, and a slope tells whether a variance should leave 0, as no slope in its root does.
    """
    count, ends = model.num_thresholds, model.num_thresholds + model.num_effects

    def unfold(point: Floats) -> Floats:
        steps = np.concatenate([point[:1], np.exp(point[1:count])])
        return np.concatenate([np.cumsum(steps), point[count:ends], np.sqrt(point[ends:])])

    def lose(point: Floats) -> tuple[float, Floats]:
        unfolded = unfold(point)
        value, slope = model.evaluate(unfolded)
        tails = np.cumsum(slope[:count][::-1])[::-1]
        tails[1:] *= np.exp(point[1:count])
        sds = unfolded[ends:]
        by_variance = np.divide(slope[ends:], 2 * sds, out=np.zeros(len(sds)), where=sds > 0)
        return -value, -np.concatenate([tails, slope[count:ends], by_variance])

    start = parameters.copy()
    start[1:count] = np.log(np.diff(parameters[:count]))
    start[ends:] = parameters[ends:] ** 2
    bounds = [(-50.0, 50.0)] + [(-20.0, 4.0)] * (count - 1) + [(-50.0, 50.0)] * model.num_effects
    bounds += [(SMALLEST_SD**2, LARGEST_SD**2) if value > 0 else (0.0, 0.0) for value in parameters[ends:]]
    found = optimize.minimize(
        lose, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-6}
    )
    return unfold(found.x)


def _polish(model: CrossedModel, parameters: Floats) -> tuple[Floats, Floats | None]:
    """Newton's steps in what is not 0, and the covariance from the Hessian at their end; None: not definite."""
    ends = model.num_thresholds + model.num_effects
    free = np.flatnonzero((np.arange(len(parameters)) < ends) | (parameters != 0))
    for _ in range(5):
        value, slope = model.evaluate(parameters)
        curvature = _measure_curvature(model, parameters, free)
        try:
            np.linalg.cholesky(curvature)
        except np.linalg.LinAlgError:
            return parameters, None
        step = np.linalg.solve(curvature, slope[free])
        if float(slope[free] @ step) < 1e-12:
            break
        moved = parameters.copy()
        moved[free] += step
        if (np.diff(moved[: model.num_thresholds]) <= 0).any() or (moved[ends:] < 0).any():
            break
        if model.evaluate(moved)[0] < value:
            break
        parameters = moved
    covariance = np.full((len(parameters), len(parameters)), np.nan)
    covariance[np.ix_(free, free)] = np.linalg.inv(curvature)
    return parameters, covariance


def _measure_curvature(model: CrossedModel, parameters: Floats, free: Codes) -> Floats:
    """Minus the Hessian, by central differences of the exact slope."""
    columns = []
    for place in free:
        size = 1e-4 * max(1.0, abs(float(parameters[place])))
        if place < model.num_thresholds:
            # Thresholds must stay in order.
            size = min([size, *(np.diff(parameters[: model.num_thresholds]) / 4)])
        move = np.zeros(len(parameters))
        move[place] = size
        rise = model.evaluate(parameters + move)[1] - model.evaluate(parameters - move)[1]
        columns.append(-rise[free] / (2 * size))
    curvature = np.array(columns)
    symmetric: Floats = (curvature + curvature.T) / 2
    return symmetric


def _measure_rise(model: CrossedModel, parameters: Floats, place: int) -> float:
    """Slope of the log likelihood in the variance of a random intercept whose standard deviation is 0."""
    probed = parameters.copy()
    probed[place] = SMALLEST_SD
    return float(model.evaluate(probed)[1][place]) / (2 * SMALLEST_SD)


def name_unbounded(fit: CrossedFit, factors: Mapping[str, Codes]) -> str:
    """Why a fit with a spread without end has no values, in words.

    Args:
        fit: of these factors.
        factors: by name, in the order in which they were fitted.
    """
    names = [name for number, name in enumerate(factors) if number in fit.unbounded]
    return "; ".join(f"the spread of {name}s grows without end: answers of one {name} hardly differ" for name in names)


def find_separation(*, levels: Codes, design: Floats) -> bool:
    """Whether the likelihood rises without end along some fixed effect, whatever the random effects are.

    It does if there is a direction along which no answer becomes less likely, and some more so.

    Args:
        levels: int64 (n,), as `fit_crossed`.
        design: float64 (n, columns), likewise.

    Source: Albert, Anderson 1984, Biometrika 71, 1-10, by linear programming; each answer in ordered categories is held
    against the boundary above and the one below it.
    """
    num_thresholds, columns = int(levels.max()), design.shape[1]
    kinds = np.unique(np.column_stack([levels, design]), axis=0)
    rows = []
    for kind in kinds:
        level, effects = int(kind[0]), kind[1:]
        for boundary, sign in ((level, 1.0), (level - 1, -1.0)):
            if 0 <= boundary < num_thresholds:
                row = np.zeros(num_thresholds + columns)
                row[boundary], row[num_thresholds:] = sign, -sign * effects
                rows.append(row)
    gains = np.array(rows)
    found = optimize.linprog(-gains.sum(axis=0), A_ub=-gains, b_ub=np.zeros(len(gains)), bounds=(-1, 1), method="highs")
    return bool(-found.fun > 1e-6)


def drop_empty_factors(factors: Mapping[str, Codes]) -> tuple[dict[str, Codes], tuple[str, ...]]:
    """Factors of which a spread can be estimated, and for each other one why not.

    Args:
        factors: int64 (n,) by name, level of each answer, 0 .. its number - 1.
    """
    kept: dict[str, Codes] = {}
    reasons = []
    for name, codes in factors.items():
        count = int(codes.max()) + 1
        twins = [other for other, theirs in kept.items() if _are_same(codes, theirs)]
        if count == 1:
            reasons.append(f"{name}: there is only one, which shows no spread between several")
        elif count == len(codes):
            reasons.append(f"{name}: each has a single answer, which does not tell it from chance")
        elif twins:
            reasons.append(
                f"{name}: the answers of each are those of one {twins[0]}, so their spreads cannot be told apart"
            )
        else:
            kept[name] = codes
    return kept, tuple(reasons)


def _are_same(first: Codes, second: Codes) -> bool:
    pairs = len(np.unique(np.column_stack([first, second]), axis=0))
    return bool(pairs == first.max() + 1 == second.max() + 1)
