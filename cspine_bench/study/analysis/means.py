"""Means over readers and cases as figures: of right answers, and of rating differences alike."""

from collections.abc import Mapping

from cspine_bench.metrics.mean_test import MeanEquivalence, MeanTest, mean_equivalence
from cspine_bench.metrics.two_way import TwoWayMean
from cspine_bench.study.analysis.figure_list import Ends, FigureList

TWO_WAY = "two-way random readers x cases, Obuchowski-Rockette with Hillis's degrees of freedom"


def add_two_way(
    figures: FigureList,
    name: str,
    found: TwoWayMean,
    *,
    used: Mapping[str, int],
    unit: str = "",
    subgroup: Mapping[str, str] | None = None,
) -> None:
    """`NAME.mean` with its interval, its tests, its variances, and those of the non-negative rule as `NAME.nn_*`."""
    test, other = found.test, found.nonnegative
    why = test.reason or found.reason
    ends = Ends(test.low, test.high, TWO_WAY, test.confidence)
    figures.add(f"{name}.mean", test.value, used=used, reason=why, ends=ends, unit=unit, subgroup=subgroup)
    figures.add_all(
        name,
        {
            "se": test.se,
            "df": test.df,
            "t": test.t,
            "p_two": test.p_two,
            "p_greater": test.p_greater,
            "p_less": test.p_less,
            "lo": test.low,
            "hi": test.high,
            "df_satt": found.df_satterthwaite,
            "msr": found.msr,
            "cov2": found.cov2,
            "var_unbiased": found.var_unbiased,
            "var_or": found.var_or,
            "vc_reader": found.vc_reader,
            "vc_case": found.vc_case,
            "vc_err": found.vc_error,
        },
        used=used,
        reason=why,
        subgroup=subgroup,
    )
    figures.add_all(
        name,
        {
            "nn_se": other.se,
            "nn_df": other.df,
            "nn_p_two": other.p_two,
            "nn_p_greater": other.p_greater,
            "nn_lo": other.low,
            "nn_hi": other.high,
            "nn_which": found.nonnegative_rule,
        },
        used=used,
        reason=other.reason or why,
        subgroup=subgroup,
    )


def add_equivalence(
    figures: FigureList,
    name: str,
    test: MeanTest,
    *,
    margin: float,
    alpha: float,
    used: Mapping[str, int],
    rule: str = "",
    unit: str = "",
    subgroup: Mapping[str, str] | None = None,
) -> MeanEquivalence:
    """`NAME.p_lower`, `.p_upper`, `.p`, the ends that the two tests ask about, and the smallest margin supported.

    Args:
        figures: to add to.
        name: of the figures.
        test: of the mean.
        margin: half width of what counts as none.
        alpha: of the smallest margin.
        used: what the mean rests on.
        rule: before the last part of each name, such as `nn_`.
        unit: of the ends.
        subgroup: source.
    """
    found = mean_equivalence(test, margin=margin, alpha=alpha)
    why = found.reason or test.reason
    values = {"p_lower": found.p_lower, "p_upper": found.p_upper, "p": found.p}
    for key, p in values.items():
        figures.add(f"{name}.{rule}{key}", p, used=used, reason=why, subgroup=subgroup, note=f"margin {margin:g}")
    low, high = name_ends(alpha)
    for key, value in ((low, found.low), (high, found.high), ("min_margin", found.smallest_margin)):
        figures.add(f"{name}.{rule}{key}", value, used=used, reason=why, unit=unit, subgroup=subgroup)
    return found


def name_ends(alpha: float) -> tuple[str, str]:
    """`lo90` and `hi90` at alpha 0.05: of the interval that two one-sided tests ask about; `lo` and `hi` at another."""
    return ("lo90", "hi90") if abs(alpha - 0.05) < 1e-12 else ("lo", "hi")


def name_margin(margin: float) -> str:
    """`10` of 0.1, `05` of 0.05, `125` of 0.125: what stands behind the point, two digits at least; `150` of 1.5."""
    hundredths = round(100 * margin, 6)
    return f"{hundredths:02.0f}" if hundredths == round(hundredths) else f"{margin:.6f}".rstrip("0").partition(".")[2]
