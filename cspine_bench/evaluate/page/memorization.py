"""The page of `evaluate memorization`: verdict, power, bound, and the pairs that it rests on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cspine_bench.evaluate.page.films import hide_real_ids, hide_real_pixels
from cspine_bench.evaluate.page.memorization_plots import draw_p_values, draw_roc, draw_scores
from cspine_bench.evaluate.page.records import SUSPICIOUS_P_VALUE, MemorizationPictures, Pair
from cspine_bench.page.images import (
    DIFFERENCE_RANGE,
    GRAY_RULE,
    Picture,
    difference_of,
    show,
    to_picture,
)
from cspine_bench.page.render import render_page
from cspine_bench.page.svg import draw_rows
from cspine_bench.page.tables import Untaken, build_table, list_missing
from cspine_bench.page.wording import describe_conditions, describe_move, flatten_settings, format_share
from cspine_bench.results import Figure, Result

_SMALL_PX: Final = 192
_THUMB_PX: Final = 128
_PARTS: Final = (
    ("copies", "Copies", ("copy_rate", "num_copies", "detectable_rate", "listed_share")),
    ("planted", "Planted copies", ("planted_recall",)),
    ("nearer", "Nearer to training than to held-out films", ("nearer_train_share",)),
    ("membership", "Membership inference", ("membership_auroc", "membership_tpr")),
    ("duplicates", "Duplicates and leaks", ("duplicate_share", "leaked_share")),
)
_OF_CALIBRATION: Final = ("nearer_train_share", "alarm_share", "above_holdout_median_share")
_NEVER: Final = (
    "whether a patient can be recognised in an image that is no copy of a film;",
    "whether other attacks, or a search under other transforms than those planted, would find more;",
    "whether the model that made the images gives away more than the images do;",
    "that the release is private: this evaluation says how hard it looked, with what power, and what it found.",
)
_CONTENTS: Final = (
    ("measured", "What was measured"), ("power", "Power"), ("bound", "Bound"), ("calibration", "Calibration"),
    ("pairs", "Pairs"), ("membership", "Membership"), ("duplicates", "Duplicates"), ("ranking", "Paper’s procedure"),
    ("not-shown", "What was not measured"), ("again", "Do it again"),
)  # fmt: skip
_OUTCOMES: Final = {
    "copies": ("alarm", "Copies found"),
    "none": ("calm", "No copy found, and their share bounded"),
    "underpowered": ("alarm", "Underpowered: this search could not have told"),
    None: ("", "No outcome stated"),
}


@dataclass(frozen=True)
class ShownPair:
    """A pair as the page prints it."""

    pair: Pair
    number: int
    synthetic: Picture | None
    train: Picture | None
    holdout: Picture | None
    difference: Picture | None
    rest: str
    move: str


def build_memorization_page(
    result: Result,
    pairs: Sequence[Pair],
    pictures: MemorizationPictures,
    *,
    real_pixels: bool = True,
    real_ids: bool = True,
) -> bytes:
    """One self-contained HTML file: verdict, power, bound, calibration, pairs, attacks, and what is not shown.

    Args:
        result: of `evaluate memorization`. Every figure of it is on the page; unknown names stand in a table of their
            own.
        pairs: shown confirmed copies first, then in the order of their p values.
        pictures: what is shown beside them; a missing part becomes a sentence.
        real_pixels: False leaves out real films, planted copies, differences, and the synthetic images that may show a
            film: those listed, confirmed, or of a p value of at most `SUSPICIOUS_P_VALUE`; all of them unless the
            outcome says that the search could have told.
        real_ids: False puts numbers in the place of real films' sample ids.

    Returns:
        UTF-8; the same result, pairs and pictures give the same bytes.
    """
    pairs = sorted(pairs, key=_rate_suspicion)
    withheld: frozenset[str] = frozenset()
    if not real_pixels:
        pairs, pictures, withheld = hide_real_pixels(pairs, pictures)
    if not real_ids:
        result, pairs, pictures = hide_real_ids(result, pairs, pictures)
    untaken = Untaken(result.figures)
    tone, headline = _OUTCOMES[pictures.outcome]
    values: dict[str, Any] = {
        "title": "Memorization: whether training films were copied",
        "result": result,
        "pictures": pictures,
        "real_pixels": real_pixels,
        "real_ids": real_ids,
        "contents": _CONTENTS,
        "tone": tone,
        "headline": headline,
        "contradictions": _find_contradictions(result, pairs, pictures),
        "gray_rule": GRAY_RULE,
        "never": _NEVER,
        "notes": pictures.notes,
        "suspicious_p_value": SUSPICIOUS_P_VALUE,
        "difference_range": f"{DIFFERENCE_RANGE:.0%}".replace("%", " %"),
        "pairs": [_show_pair(pair, number, withheld) for number, pair in enumerate(pairs, start=1)],
        "num_withheld": len(withheld),
    }
    values |= _show_power(untaken, result, pictures)
    values |= _show_bound(untaken, result)
    values |= _show_calibration(untaken, pictures)
    values |= _show_attacks(untaken, pictures)
    values["others"] = untaken.rest
    expected = [*_PARTS, *([] if pictures.ranking else [("ranking", "The paper’s procedure", ("ranking",))])]
    values["missing"] = list_missing(present=result.figures, expected=expected, given=pictures.not_measured)
    return render_page("memorization.html.j2", values)


def _rate_suspicion(pair: Pair) -> tuple[bool, float, float, float, str]:
    tail = 1.0 if pair.tail_p_value is None else pair.tail_p_value
    return (not pair.confirmed, pair.p_value, tail, -pair.similarity, pair.sample_id)


def _find_contradictions(result: Result, pairs: Sequence[Pair], pictures: MemorizationPictures) -> list[str]:
    """Where verdict, figures and pairs do not go together."""
    found = []
    confirmed = sum(bool(pair.confirmed) for pair in pairs)
    counted = next((figure.value for figure in result.figures if figure.name == "num_copies"), None)
    if pictures.outcome == "none" and counted:
        found.append(f"The outcome says that no copy was found, but the result counts {counted:,.0f}.")
    if pictures.outcome == "none" and confirmed:
        found.append(f"The outcome says that no copy was found, but {confirmed:,} pairs below are confirmed copies.")
    if pictures.outcome == "copies" and counted == 0:
        found.append("The outcome says that copies were found, but the result counts none.")
    if pictures.outcome == "none" and any(not gate.passed for gate in pictures.gates):
        found.append("The outcome says that the search had the power to find copies, but a gate below was missed.")
    return found


def _show_pair(pair: Pair, number: int, withheld: frozenset[str]) -> ShownPair:
    difference, rest = None, ""
    if pair.train is not None:
        left, share = difference_of(pair.synthetic, pair.train, pair.move, pair.map_side_px, side_px=_SMALL_PX)
        difference, rest = to_picture(left, "training film less the synthetic image laid on it"), format_share(share)
    move = "moved in a way not known" if pair.move is None else describe_move(pair.move, pair.map_side_px)
    if pair.region:
        move = f"{move}; part: {pair.region}"
    hidden = pair.sample_id in withheld
    return ShownPair(
        pair=pair,
        number=number,
        synthetic=None if hidden else show(pair.synthetic, f"synthetic image of pair {number}"),
        train=show(pair.train, f"nearest training film of pair {number}"),
        holdout=show(pair.holdout, f"nearest held-out film of pair {number}", side_px=_SMALL_PX),
        difference=difference,
        rest=rest,
        move=move,
    )


def _list_row(name: str, figure: Figure) -> tuple[str, float, float | None, float | None, str]:
    interval = figure.interval
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return name, figure.value, low, high, "synthetic"


def _leave_rule_out(figure: Figure) -> dict[str, str]:
    return {name: value for name, value in figure.condition.items() if name != "rule"}


def _show_power(untaken: Untaken, result: Result, pictures: MemorizationPictures) -> dict[str, Any]:
    recall = untaken.take(lambda one: one.name == "planted_recall" and not one.subgroup)
    settings = flatten_settings(result.settings)
    least = next((value for name, value in settings.items() if name.endswith("least recall")), None)
    plots = []
    for rule in dict.fromkeys(one.condition.get("rule", "") for one in recall):
        rows = [
            _list_row(describe_conditions(_leave_rule_out(one)), one)
            for one in recall
            if one.condition.get("rule", "") == rule
        ]
        reference = float(least) if isinstance(least, int | float) else None
        label = f"Share of planted copies found, by transform {rule}"
        plots.append((rule, draw_rows(label, rows, limits=(0, 1), reference=reference, left=160)))
    examples = [
        (
            one,
            show(one.film, f"training film before {one.transform}", side_px=_THUMB_PX),
            show(one.copy, f"planted copy: {one.transform}", side_px=_THUMB_PX),
        )
        for one in pictures.planted
    ]
    return {
        "recall": recall,
        "recall_plots": plots,
        "recall_table": build_table(recall, _leave_rule_out, column=lambda one: one.condition.get("rule", "found")),
        "least_recall": None if least is None else f"{float(least):g}",
        "planted_examples": examples,
        "detectable": untaken.take(lambda one: one.name == "detectable_rate"),
    }


def _show_bound(untaken: Untaken, result: Result) -> dict[str, Any]:
    found = untaken.take(lambda one: one.name in ("copy_rate", "num_copies", "listed_share") and not one.subgroup)
    rate = next((one for one in found if one.name == "copy_rate" and not one.condition), None)
    return {"bound": describe_bound(rate), "copies": found}


def describe_bound(rate: Figure | None) -> str:
    """What a `copy_rate` says of the share of copies, in a sentence or two; None: the result has none."""
    words = "The result holds no bound on the share of copies."
    if rate is not None and rate.interval is None:
        words = f"The result gives the share of copies as {format_share(rate.value)}, without an interval: no bound."
    elif rate is not None and rate.interval is not None and rate.interval.high >= 1:
        words = "No share of copies is excluded: the search has no recall to divide by."
        if rate.interval.low > 0:
            words += f" At least {format_share(rate.interval.low)} of the synthetic images are copies."
    elif rate is not None and rate.interval is not None:
        total = rate.n_used.get("synthetic") or rate.n_available.get("synthetic")
        images = f" ({rate.interval.high * total:,.1f} of {total:,})" if total else ""
        words = (
            f"At {100 * rate.interval.level:g} % confidence, at most {format_share(rate.interval.high)} of the "
            f"synthetic images{images} are copies of a training film ({rate.interval.method}), "
            "if the search finds copies that a generator makes as often as those that were planted."
        )
        if rate.interval.low > 0:
            words += f" At least {format_share(rate.interval.low)} are."
    return words


def _show_calibration(untaken: Untaken, pictures: MemorizationPictures) -> dict[str, Any]:
    plots = [
        (scores, draw_scores(scores)) for scores in pictures.scores if len(scores.synthetic) and len(scores.holdout)
    ]
    p_values = pictures.p_values
    return {
        "nearer": untaken.take(lambda one: one.name in _OF_CALIBRATION),
        "p_plot": None if p_values is None or len(p_values) == 0 else draw_p_values(p_values),
        "num_p_values": 0 if p_values is None else len(p_values),
        "score_plots": plots,
    }


def _show_attacks(untaken: Untaken, pictures: MemorizationPictures) -> dict[str, Any]:
    membership = untaken.take(lambda one: one.name in ("membership_auroc", "membership_tpr"))
    curves = []
    for attack in pictures.attacks:
        if not (len(attack.members) and len(attack.others)):
            continue
        points = [
            figure
            for figure in membership
            if "fpr" in figure.condition
            and (figure.condition.get("attack"), figure.condition.get("space", "")) == (attack.attack, attack.space)
        ]
        curves.append((attack, draw_roc(attack, points)))
    pairs = [
        (pair, show(pair.first, pair.first_id, side_px=_THUMB_PX), show(pair.second, pair.second_id, side_px=_THUMB_PX))
        for pair in pictures.duplicates
    ]
    return {
        "membership": membership,
        "curves": curves,
        "duplicates": untaken.take(lambda one: one.name in ("duplicate_share", "leaked_share")),
        "duplicate_pairs": pairs,
    }
