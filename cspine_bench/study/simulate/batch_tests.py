"""The tests of `metrics.label_test` and `metrics.two_way` on thousands of complete studies at once.

The tests of these functions hold them against those of one study, answer by answer.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, special, stats

from cspine_bench.metrics.intervals import CONFIDENCE

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_BYTES = 64 << 20
"""Of the largest array that is made at a time."""
_SMALLEST = 1e-150
"""Stands for 0 under the logarithm."""


def label_p_values(picks: NDArray[np.integer]) -> Floats:
    """One-sided p value of `label_test`: of so many picks of the first image, if any image were the real one.

    Pass the real image and one other alone for `swap_test`.

    Args:
        picks: int (studies, cases, images), readers that picked each; the real image first.

    Returns:
        float64 (studies,).

    The distribution of the sum over cases is the product of the cases' generating functions at roots of unity, and
    cases with equal counts have equal functions; so it is a product of a small table and a table of how often each
    occurs, and its inverse Fourier transform is exact to rounding.
    """
    images = picks.shape[2]
    total = picks.sum(axis=2, dtype=np.int64).sum(axis=1)
    length = fft.next_fast_len(int(total.max(initial=0)) + 1, real=True)
    patterns, frequency = _tally(np.sort(picks, axis=2))
    hits = picks[:, :, 0].sum(axis=1, dtype=np.int64)
    angles = -2j * np.pi * np.arange(length // 2 + 1) / length
    table = np.zeros((len(patterns), len(angles)), complex)
    for image in range(images):
        table += np.exp(np.multiply.outer(patterns[:, image], angles)) / images
    return _read_tails(_log(table), frequency, hits, length)


def single_image_p_values(said_real: NDArray[np.integer], *, labels: Bools) -> Floats:
    """One-sided p value of `single_image_test`: right answers, if as many labels were dealt to any of the images.

    Args:
        said_real: int (studies, images), readers that said `real`.
        labels: bool (studies, images), True: real; every study has as many.

    Returns:
        float64 (studies,).

    The right answers rise and fall with the `real` said of real images. Their sum over a random subset is read from the
    generating function of sum and size, at roots of unity in both.
    """
    studies, images = said_real.shape
    real = int(labels[0].sum())
    length = fft.next_fast_len(int(said_real.sum(axis=1).max(initial=0)) + 1, real=True)
    patterns, frequency = _tally(said_real[:, :, None])
    hits = np.where(labels, said_real, 0).sum(axis=1)
    angles = -2j * np.pi * np.arange(length // 2 + 1) / length
    powers = np.exp(np.multiply.outer(patterns[:, 0], angles))
    log_subsets = special.gammaln(images + 1) - special.gammaln(real + 1) - special.gammaln(images - real + 1)
    spectrum = np.zeros((studies, len(angles)), complex)
    step = max(1, _BYTES // (16 * len(angles)))
    # As many roots as part the wanted size from all others that share its remainder: there are none up to `images`.
    nodes = max(real, images - real) + 1
    for number in range(nodes):
        root = np.exp(2j * np.pi * number / nodes)
        logs = _log(1 + root * powers)
        unroll = -real * 2j * np.pi * number / nodes - np.log(nodes) - log_subsets
        for first in range(0, studies, step):
            part = slice(first, first + step)
            spectrum[part] += np.exp(_multiply(frequency[part], logs) + unroll)
    return _sum_tails(spectrum, hits, length)


def _tally(counts: NDArray[np.integer]) -> tuple[NDArray[np.int64], Floats]:
    """Different rows of (studies, cases, columns), and how often each study has each, float64 (studies, rows)."""
    studies, cases, columns = counts.shape
    base = int(counts.max(initial=0)) + 1
    codes = np.zeros((studies, cases), np.int64)
    for column in range(columns):
        codes = codes * base + counts[:, :, column]
    found, where = np.unique(codes, return_inverse=True)
    rows = np.stack([found // base**power % base for power in reversed(range(columns))], axis=1)
    flat = where.reshape(studies, cases) + len(found) * np.arange(studies)[:, None]
    frequency = np.bincount(flat.ravel(), minlength=studies * len(found)).reshape(studies, len(found))
    return rows, frequency.astype(np.float64)


def _log(values: NDArray[np.complex128]) -> NDArray[np.complex128]:
    logs: NDArray[np.complex128] = np.log(np.where(np.abs(values) < _SMALLEST, _SMALLEST, values))
    return logs


def _multiply(frequency: Floats, logs: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Real times complex as two real products, which are twice as quick."""
    product = np.empty((len(frequency), logs.shape[1]), complex)
    product.real = frequency @ logs.real
    product.imag = frequency @ logs.imag
    return product


def _read_tails(logs: NDArray[np.complex128], frequency: Floats, hits: NDArray[np.int64], length: int) -> Floats:
    found = np.empty(len(hits))
    step = max(1, _BYTES // (16 * logs.shape[1]))
    for first in range(0, len(hits), step):
        part = slice(first, first + step)
        found[part] = _sum_tails(np.exp(_multiply(frequency[part], logs)), hits[part], length)
    return found


def _sum_tails(spectrum: NDArray[np.complex128], hits: NDArray[np.int64], length: int) -> Floats:
    probability = fft.irfft(spectrum, n=length, axis=1)
    upper = np.cumsum(probability[:, ::-1], axis=1)
    p_values: Floats = np.clip(upper[np.arange(len(hits)), length - 1 - hits], 0, 1)
    return p_values


@dataclass(frozen=True)
class MeanBatch:
    """Means of many studies with standard errors.

    Attributes:
        mean: float64 (studies,).
        se: likewise; NaN where there is no variance.
        df: degrees of freedom.
    """

    mean: Floats
    se: Floats
    df: Floats

    def p_greater(self, null: float) -> Floats:
        """One-sided p value of so large a mean; NaN where there is no variance, which shows nothing."""
        p_values: Floats = stats.t.sf((self.mean - null) / self.se, self.df)
        return p_values

    def p_equivalent(self, null: float, margin: float) -> Floats:
        """p value of "within `margin` of `null`", by two one-sided tests."""
        low = stats.t.sf((self.mean - null + margin) / self.se, self.df)
        high = stats.t.cdf((self.mean - null - margin) / self.se, self.df)
        p_values: Floats = np.maximum(low, high)
        return p_values

    def half_widths(self, confidence: float = CONFIDENCE) -> Floats:
        """Of the intervals."""
        halves: Floats = stats.t.ppf((1 + confidence) / 2, self.df) * self.se
        return halves


def two_way_batch(values: NDArray[np.generic]) -> tuple[MeanBatch, MeanBatch]:
    """`two_way_mean` of many complete studies.

    Args:
        values: bool or float (studies, readers, cases); at least two of each of the last two.

    Returns:
        By Obuchowski, Rockette and Hillis; and by the rule that takes no variance component as negative.
    """
    cells = np.asarray(values, np.float64) if values.dtype != np.bool_ else np.asarray(values, np.float32)
    _, readers, cases = cells.shape
    of_readers, of_cases = (cells.mean(axis=axis, dtype=np.float64) for axis in (2, 1))
    mean = of_readers.mean(axis=1)
    total = (cells**2).sum(axis=(1, 2), dtype=np.float64) - readers * cases * mean**2
    between_readers = cases * ((of_readers - mean[:, None]) ** 2).sum(axis=1)
    between_cases = readers * ((of_cases - mean[:, None]) ** 2).sum(axis=1)
    left = np.maximum(total - between_readers - between_cases, 0)
    ms_readers, ms_cases = between_readers / (readers - 1), between_cases / (cases - 1)
    ms_left = left / ((readers - 1) * (cases - 1))
    return (
        _or_mean(mean, ms_readers, ms_cases, ms_left, readers, cases),
        _nonnegative_mean(mean, ms_readers, ms_cases, ms_left, readers, cases),
    )


def _or_mean(mean: Floats, msr: Floats, msc: Floats, mse: Floats, readers: int, cases: int) -> MeanBatch:
    # Covariance of two readers' means through their cases; msr / cases is the variance of readers' means.
    shared = np.maximum((msc - mse) / (readers * cases), 0)
    variance = msr / (readers * cases) + shared
    with np.errstate(divide="ignore", invalid="ignore"):
        df = variance**2 / ((msr / (readers * cases)) ** 2 / (readers - 1))
    return _build(mean, variance, df)


def _nonnegative_mean(mean: Floats, msr: Floats, msc: Floats, mse: Floats, readers: int, cases: int) -> MeanBatch:
    candidates = np.stack([msr + msc - mse, msr, msc])
    # As REML: the full sum only where both components are positive; otherwise the larger of the two.
    rule = np.argmax(candidates, axis=0)
    variance = candidates.max(axis=0) / (readers * cases)
    with np.errstate(divide="ignore", invalid="ignore"):
        satterthwaite = candidates[0] ** 2 / (
            msr**2 / (readers - 1) + msc**2 / (cases - 1) + mse**2 / ((readers - 1) * (cases - 1))
        )
    df = np.where(rule == 0, satterthwaite, np.where(rule == 1, readers - 1, cases - 1))
    return _build(mean, variance, df)


def _build(mean: Floats, variance: Floats, df: Floats) -> MeanBatch:
    defined = variance > 1e-15
    se = np.where(defined, np.sqrt(np.where(defined, variance, 1)), np.nan)
    return MeanBatch(mean, se, np.where(defined & np.isfinite(df), df, 1e9))


def reader_batch(values: NDArray[np.generic]) -> MeanBatch:
    """`reader_mean` of many complete studies, values as `two_way_batch`: readers vary, cases do not."""
    means = np.asarray(values, np.float64).mean(axis=2)
    return _build(
        means.mean(axis=1), means.var(axis=1, ddof=1) / means.shape[1], np.full(len(means), means.shape[1] - 1)
    )
