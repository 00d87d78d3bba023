"""`study power` as a measurement: figures with the simulation's own error, a table, a page, and a few words."""

import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from cspine_bench.measurement.csv_table import render_csv_table
from cspine_bench.measurement.figures import WILSON, build_figure
from cspine_bench.measurement.inputs import OnProgress
from cspine_bench.measurement.outputs import Evidence, Question
from cspine_bench.measurement.task import ShowStage, build_result
from cspine_bench.measurement.work import Work
from cspine_bench.metrics.intervals import Estimate, normal_interval, wilson_interval
from cspine_bench.results import Figure
from cspine_bench.study.page.power import build_power_page
from cspine_bench.study.simulate.batch import World
from cspine_bench.study.simulate.power import (
    BOTH,
    LABEL_TEST,
    NONNEGATIVE,
    TWO_WAY,
    Method,
    Outcomes,
    find_detectable_accuracy,
    find_readers,
    run_ratings,
    run_world,
)
from cspine_bench.study.simulate.power_recipe import PowerRecipe
from cspine_bench.study.simulate.power_words import PAPER, say_power

MEASURE: Final = "study-power"
VERSION: Final = "1"
ROLE: Final = "simulated studies"
_BY_SIMULATION: Final = "Monte Carlo error of the simulation"
_TESTS: Final[tuple[Method, ...]] = (LABEL_TEST, TWO_WAY, NONNEGATIVE)
_INTERVALS: Final[tuple[Method, ...]] = (NONNEGATIVE, TWO_WAY)
_EQUIVALENCES: Final[tuple[Method, ...]] = (BOTH, NONNEGATIVE, TWO_WAY)
_WAYS: Final = {LABEL_TEST: "the label test"} | dict.fromkeys((BOTH, NONNEGATIVE, TWO_WAY), "the two-way analysis")
_AT_CHANCE: Final = (
    "The mean over all possible readers is chance. Where reader_sd is above 0 some of those who read are truly better; "
    "the label test asks about them alone, and may find it, while the two-way analysis asks about all readers."
)
_COLUMNS: Final = (
    "figure",
    "readers",
    "cases",
    "accuracy",
    "margin",
    "power",
    "method",
    "value",
    "low",
    "high",
    "studies",
)


@dataclass(frozen=True)
class Power:
    """The task.

    Attributes:
        recipe: what is asked.
        seed: of all draws.
    """

    recipe: PowerRecipe
    seed: int

    @property
    def question(self) -> Question:
        """What is calculated."""
        settings = self.recipe.model_dump(mode="json")
        told = {"chance": self.recipe.chance, "num_studies": self.recipe.studies, "primary_method": LABEL_TEST}
        return Question(MEASURE, VERSION, (), settings | told, self.seed)

    @property
    def cells(self) -> list[tuple[int, int]]:
        """Readers and cases of each design: those that were asked for, and the paper's beside them."""
        asked = [(readers, cases) for cases in self.recipe.cases for readers in self.recipe.readers]
        return list(dict.fromkeys([*asked, *([PAPER] if self.recipe.design == "quartet" else [])]))

    def answer(self, work: Work, show: ShowStage) -> Evidence:
        """Simulate."""
        started = time.process_time()
        found = _Found(self.recipe, self.seed)
        with show("designs") as tell:
            for number, (readers, cases) in enumerate(self.cells, 1):
                found.add_design(readers, cases)
                _tell(tell, number, len(self.cells))
        if self.recipe.num_searched:
            with show("smallest designs") as tell:
                for number, cases in enumerate(self.recipe.cases, 1):
                    found.add_search(cases)
                    _tell(tell, number, len(self.recipe.cases))
        result = build_result(
            self.question,
            encoder=None,
            figures=tuple(found.figures),
            verdict=say_power(self.recipe, found.figures, self.cells, found.not_reached),
            device="cpu",
            seconds=time.process_time() - started,
        )
        rows = list(_iter_rows(found.figures))
        table = pa.table({name: [row[name] for row in rows] for name in _COLUMNS})
        page = build_power_page(result, command=spell_power(self.recipe, self.seed))
        return Evidence(
            result,
            table,
            page,
            {".csv": render_csv_table(_COLUMNS, ([row[name] for name in _COLUMNS] for row in rows)).encode()},
        )


def _tell(tell: OnProgress | None, done: int, total: int) -> None:
    if tell is not None:
        tell(done, total)


def spell_power(recipe: PowerRecipe, seed: int) -> str:
    """The command that gives the result again."""
    usual = PowerRecipe().model_dump(mode="json")
    changed = {name: value for name, value in recipe.model_dump(mode="json").items() if value != usual[name]}
    words = [f"--set {shlex.quote(f'{name}={_spell(value)}')}" for name, value in changed.items()]
    return " ".join(["cspine-bench study power", *words, f"--seed {seed}", "--out results"])


def _spell(value: object) -> str:
    return str(value).replace("'", "").replace("None", "null")


@dataclass
class _Found:
    """Figures as they come."""

    recipe: PowerRecipe
    seed: int
    figures: list[Figure] = field(default_factory=list)
    not_reached: list[str] = field(default_factory=list)
    _known: dict[tuple[World, int], Outcomes] = field(default_factory=dict)

    def add_design(self, readers: int, cases: int) -> None:
        recipe = self.recipe
        self._add_accuracies(readers, cases)
        if recipe.design != "single" and recipe.rating_margins:
            found = run_ratings(
                recipe.ratings,
                readers=readers,
                cases=cases,
                num_steps=recipe.num_steps,
                margins=recipe.rating_margins,
                studies=recipe.studies,
                seed=self.seed,
                alpha=recipe.alpha,
            )
            for margin in recipe.rating_margins:
                for method in _EQUIVALENCES:
                    where = {"readers": f"{readers}", "cases": f"{cases}", "margin": f"{margin:g}", "method": method}
                    where["difference"] = "0"
                    note = (
                        "By simulation of single ratings, one real and one synthetic image a case, equally realistic."
                    )
                    self._add_share("power_rating_equivalence", found, found.equivalent[method, margin], where, note)
        if recipe.num_searched:
            for method in (LABEL_TEST, NONNEGATIVE):
                self._add_detectable(readers, cases, method)

    def _add_accuracies(self, readers: int, cases: int) -> None:
        recipe = self.recipe
        for accuracy in (recipe.chance, *recipe.asked_accuracies):
            at_chance = accuracy == recipe.chance
            found = self._run(readers, cases, accuracy, recipe.studies)
            where = self._locate(readers, cases) | {"accuracy": f"{accuracy:g}"}
            for method in _TESTS:
                name, note = ("found_at_chance", _AT_CHANCE) if at_chance else ("power_detect", "")
                self._add_share(name, found, found.detected[method], where | {"method": method}, note)
            for method in _EQUIVALENCES if at_chance else ():
                for margin in recipe.margins:
                    told = where | {"margin": f"{margin:g}", "method": method}
                    self._add_share("power_equivalence", found, found.equivalent[method, margin], told)
            for method in _INTERVALS:
                mean, error = found.mean_width(method)
                self.figures.append(
                    self._build(
                        "interval_width",
                        normal_interval(value=mean, standard_error=error),
                        where | {"method": method},
                        f"{_BY_SIMULATION}, normal",
                        direction_up=False,
                    )
                )

    def add_search(self, cases: int) -> None:
        """Fewest readers for so many cases."""
        for accuracy in self.recipe.asked_accuracies:
            for method in (LABEL_TEST, NONNEGATIVE):
                self._search(cases, accuracy, None, method)
        for margin in self.recipe.margins:
            self._search(cases, self.recipe.chance, margin, BOTH)

    def _search(self, cases: int, accuracy: float, margin: float | None, method: Method) -> None:
        recipe = self.recipe

        def reaches(readers: int) -> bool:
            found = self._run(readers, cases, accuracy, recipe.num_searched)
            count = found.detected[method] if margin is None else found.equivalent[method, margin]
            return count >= recipe.power * found.studies

        readers = find_readers(reaches, most=recipe.most_readers)
        asked = {"cases": f"{cases}", "power": f"{recipe.power:g}", "method": method}
        asked |= {"accuracy": f"{accuracy:g}"} if margin is None else {"margin": f"{margin:g}"}
        asked |= {"reader_sd": f"{recipe.reader_sd:g}", "case_sd": f"{recipe.case_sd:g}"}
        if readers is None:
            aim = (
                f"detect {100 * accuracy:g} %" if margin is None else f"show equivalence within {100 * margin:g} points"
            )
            self.not_reached.append(
                f"with {cases} cases, {recipe.most_readers} readers are too few to {aim} by {_WAYS[method]} with a "
                f"power of {100 * recipe.power:g} %"
            )
            return
        note = f"Fewest of 2 to {recipe.most_readers}, by {recipe.num_searched:,} studies at each step."
        self._add_found("readers_needed", readers, asked, "readers", note)

    def _add_detectable(self, readers: int, cases: int, method: Method) -> None:
        recipe = self.recipe
        world = self._world(readers, cases, recipe.chance)
        found = find_detectable_accuracy(
            world,
            method=method,
            power=recipe.power,
            studies=recipe.num_searched,
            seed=self.seed,
            alpha=recipe.alpha,
        )
        where = self._locate(readers, cases) | {"power": f"{recipe.power:g}", "method": method}
        if found is None:
            self.not_reached.append(f"{readers} readers with {cases} cases detect no accuracy by {_WAYS[method]}")
            return
        note = f"By {recipe.num_searched:,} studies at each step, so good to about a percentage point."
        self._add_found("detectable_accuracy", found, where, "share", note)

    def _run(self, readers: int, cases: int, accuracy: float, studies: int) -> Outcomes:
        recipe = self.recipe
        margins = recipe.margins if accuracy == recipe.chance else ()
        world = self._world(readers, cases, accuracy)
        key = (world, studies)
        if key not in self._known:
            self._known[key] = run_world(world, studies=studies, seed=self.seed, alpha=recipe.alpha, margins=margins)
        return self._known[key]

    def _world(self, readers: int, cases: int, accuracy: float) -> World:
        recipe = self.recipe
        return World(recipe.design, readers, cases, accuracy, recipe.reader_sd, recipe.case_sd)

    def _locate(self, readers: int, cases: int) -> dict[str, str]:
        spreads = {"reader_sd": f"{self.recipe.reader_sd:g}", "case_sd": f"{self.recipe.case_sd:g}"}
        return {"readers": f"{readers}", "cases": f"{cases}"} | spreads

    def _add_share(self, name: str, found: Outcomes, count: int, where: dict[str, str], note: str = "") -> None:
        share = wilson_interval(successes=count, total=found.studies)
        is_error = name == "found_at_chance"
        method = f"{_BY_SIMULATION}, {WILSON}"
        self.figures.append(self._build(name, share, where, method, direction_up=not is_error, note=note))

    def _add_found(self, name: str, value: float, where: dict[str, str], unit: str, note: str) -> None:
        self.figures.append(
            self._build(
                name, value, where, "", direction_up=False, unit=unit, note=note, studies=self.recipe.num_searched
            )
        )

    def _build(
        self,
        name: str,
        estimate: Estimate | float,
        where: dict[str, str],
        method: str,
        *,
        direction_up: bool = True,
        unit: str = "share",
        note: str = "",
        studies: int | None = None,
    ) -> Figure:
        counts = {ROLE: studies or self.recipe.studies}
        return build_figure(
            name,
            estimate,
            direction="higher" if direction_up else "lower",
            used=counts,
            available=counts,
            method=method,
            unit=unit,
            condition=where,
            note=note,
        )


def _iter_rows(figures: list[Figure]) -> Iterator[dict[str, str | float | int | None]]:
    for figure in figures:
        told: dict[str, str | float | int | None] = {name: figure.condition.get(name, "") for name in _COLUMNS}
        told |= {"figure": figure.name, "value": figure.value, "studies": figure.n_used[ROLE]}
        ends = (None, None) if figure.interval is None else (figure.interval.low, figure.interval.high)
        yield told | {"low": ends[0], "high": ends[1]}
