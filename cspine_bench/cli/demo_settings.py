"""What the demo makes, how much of it, and where: settings, sizes, folders."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from cspine_bench.errors import DataError

Kind = Literal["phantom", "csxa", "images", "dicom", "dataset"]

FRACTIONS: Final = (0.7, 0.1, 0.2)
"""Of films: to train on, to watch training with, and held out for every comparison."""

PARTS_OF_TRAINING: Final = (0.4, 0.7, 1.0)
"""Updates, as shares of all, after which a checkpoint is kept: the three sources of the reader study."""

RECIPE_SIZE: Final = 64
"""Side of the recipes that the demo begins with, px."""

FEWEST_TRAIN: Final = 24
FEWEST_HELD_OUT: Final = 8
FEWEST_FILMS: Final = 45
"""Of which these shares leave about so many."""

FEWEST_STUDY: Final = 24
"""Held-out films, and samples: 10 cases or more, and what is not for cases."""
_SPARE_FILMS: Final = 12
SPARE_SAMPLES: Final = 14
"""Of each source: for practice, controls, and those that fall out as near copies."""
POWERED_HELD_OUT: Final = 100
"""Fewer leave the search for copies underpowered, by its own rule."""
_FEW_SAMPLES: Final = 200
"""One process draws so many sooner than several have loaded what they need."""
_MONITORED: Final = 64
"""Samples that training measures itself by, twice."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the films come from.

    Args:
        kind: the phantom, or what `--real` named.
        path: that folder or archive; None for the phantom.
        labelled: whether its films are expected to have landmarks.
        words: what was found there, for people.
    """

    kind: Kind
    path: Path | None
    labelled: bool
    words: str


PHANTOM: Final = Origin("phantom", None, True, "made-up films of the phantom")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the films turned out to be.

    Args:
        train: films to train on.
        validation: films that training is watched with.
        held_out: films of the test split, which no generator sees.
        labelled: whether most of all splits have landmarks.
        patients: of the films held out: a study shows each once; None: as many as films.
    """

    train: int
    validation: int
    held_out: int
    labelled: bool
    patients: int | None = None

    @property
    def for_readers(self) -> int:
        """Films held out that readers may be shown, each of another patient."""
        return self.held_out if self.patients is None else min(self.held_out, self.patients)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is made.

    Args:
        films: phantoms; films of one's own are as many as there are.
        updates: of the main generator.
        plain_updates: of the one that is told nothing, trained beside it.
        samples: synthetic radiographs of the release.
        plain_samples: of the generator that is told nothing.
        cases: display sets of the reader study, at most.
        planted: copies by each transform that the search for copies is tested with: so many that, where it finds nine
            in ten, the lower end of their recall's interval reaches the four in five that a verdict needs.
        seeds: networks of each arm of the baseline.
    """

    films: int
    updates: int
    plain_updates: int
    samples: int
    plain_samples: int
    cases: int
    planted: int
    seeds: int


FULL: Final = Sizes(
    films=700, updates=500, plain_updates=430, samples=1000, plain_samples=96, cases=50, planted=12, seeds=3
)
QUICK: Final = Sizes(
    films=140, updates=80, plain_updates=48, samples=64, plain_samples=24, cases=16, planted=2, seeds=1
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides the stages.

    Args:
        out: folder for all that is made.
        origin: of the films.
        facts: of the films; before they are made, a guess.
        sizes: how much is made.
        size: side of the images, px.
        seed: of every random draw.
        workers: processes at a time; changes no result.
        signed: whether a key can be made here.
        quick: whether the quick sizes were asked for.
    """

    out: Path
    origin: Origin
    facts: Facts
    sizes: Sizes
    size: int
    seed: int
    workers: int
    signed: bool
    quick: bool

    @property
    def films(self) -> Path:
        """The dataset of films, real or of the phantom."""
        if self.origin.kind == "dataset" and self.origin.path is not None:
            return self.origin.path
        return self.dataset("films")

    @property
    def main(self) -> str:
        """Name of the main run: films without landmarks teach no other."""
        return "skeleton" if self.facts.labelled else "unconditional"

    @property
    def study(self) -> Path:
        """Folder of the reader study."""
        return self.out / "study"

    @property
    def results(self) -> Path:
        """Folder of every result with its page."""
        return self.out / "results"

    @property
    def store(self) -> Path:
        """Features of all radiographs, so that each is computed once."""
        return self.out / "features"

    @property
    def release(self) -> Path:
        """The samples as they would be published."""
        return self.out / "release"

    @property
    def key(self) -> Path:
        """The private key that signs the release."""
        return self.out / "release.key"

    @property
    def report(self) -> Path:
        """The page that tells everything."""
        return self.out / "report.html"

    @property
    def cases(self) -> int:
        """Display sets of the reader study: fewer where films held out, or samples, are few; 0: too few for any."""
        films, samples = self.facts.for_readers, self.sizes.samples
        if min(films, samples) < FEWEST_STUDY:
            return 0
        return min(self.sizes.cases, films - _SPARE_FILMS, samples - SPARE_SAMPLES)

    @property
    def monitored(self) -> int:
        """Samples of a measurement during training; 0: too few films, or no time."""
        enough = self.facts.train >= _MONITORED and self.facts.validation >= FEWEST_HELD_OUT
        return _MONITORED if enough and not self.quick else 0

    @property
    def few(self) -> bool:
        """Whether one process does what is done to the samples, and leaves the others to what may be done beside."""
        return self.sizes.samples <= _FEW_SAMPLES

    def dataset(self, name: str) -> Path:
        """A dataset folder of the demo."""
        return self.out / "datasets" / name

    def run(self, name: str) -> Path:
        """A run folder of the demo."""
        return self.out / "runs" / name

    def log(self, stage: str) -> Path:
        """What a stage printed."""
        return self.out / "log" / f"{stage}.json"

    def picture(self, name: str) -> Path:
        """A contact sheet."""
        return self.out / "pictures" / f"{name}.png"


def choose_sizes(*, quick: bool, asked: dict[str, int | None]) -> Sizes:
    """The usual sizes, or the quick ones, with those that were asked for.

    Args:
        quick: which of the two.
        asked: films, updates, samples and cases; None: as usual.
    """
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    usual = QUICK if quick else FULL
    updates = given.get("updates", usual.updates)
    # Two processes train side by side: neither shall wait long for the other.
    plain = {"plain_updates": min(updates, max(1, round(updates * usual.plain_updates / usual.updates)))}
    return replace(usual, **given, **plain)


def guess_facts(origin: Origin, sizes: Sizes) -> Facts:
    """What the films will be, as far as it can be known before they are there."""
    train, validation, held_out = (round(sizes.films * share) for share in FRACTIONS)
    return Facts(train, validation, held_out, origin.labelled)


def read_facts(inspected: dict[str, Any]) -> Facts:
    """What the films are, from the document of `dataset inspect`."""
    counts = inspected["num_samples"]
    total = sum(counts.values())
    labelled = 2 * inspected["labelled"]["landmarks_xy"] >= total > 0
    held_out = counts.get("test", 0)
    patients = inspected["num_groups"].get("test", held_out)
    return Facts(counts.get("train", 0), counts.get("validation", 0), held_out, labelled, patients)


def refuse_too_few(settings: Settings) -> None:
    """Stop where nothing could be learnt or measured.

    Raises:
        DataError: too few films to train on, or too few held out; says how many, and how many are needed.
    """
    facts = settings.facts
    if facts.train >= FEWEST_TRAIN and facts.held_out >= FEWEST_HELD_OUT:
        return
    raise DataError(
        f"{settings.films}: {facts.train} films to train on (train) and {facts.held_out} held out (test); the demo "
        f"needs at least {FEWEST_TRAIN} and {FEWEST_HELD_OUT}, so about {FEWEST_FILMS} films or more, of as many "
        "patients: a patient's films are never cut apart. Give more films; what was imported is a whole dataset, and "
        "`cspine-bench dataset inspect` shows it"
    )


def list_left_out(settings: Settings) -> list[str]:
    """What is not done with these films, or done with little power, and why; a sentence each."""
    facts, left = settings.facts, []
    if settings.origin.kind in ("images", "csxa"):
        left.append(
            "Not known: whose films these are. Each counts as a patient of its own; where a patient has several, those "
            "held out are not new to the generator. `dataset import images --group-pattern` reads patients from names."
        )
    if not facts.labelled:
        left.append(
            "Left out: the generator that draws a given skeleton, and the landmarking baseline: these films have no "
            "landmarks. A dataset or CSXA folder that has them gets both."
        )
    if facts.for_readers < FEWEST_STUDY:
        left.append(
            f"Left out: the reader study: {facts.held_out} films of {facts.for_readers} patients are held out, it "
            f"needs {FEWEST_STUDY} patients (about {round(FEWEST_STUDY / FRACTIONS[2])} in all)."
        )
    elif settings.cases == 0:
        left.append(f"Left out: the reader study: --samples {settings.sizes.samples}, it needs {FEWEST_STUDY}.")
    elif settings.cases < settings.sizes.cases:
        left.append(
            f"Scaled down: the reader study has {settings.cases} cases, not {settings.sizes.cases}: "
            f"films of {facts.for_readers} patients are held out, and there are {settings.sizes.samples} samples."
        )
    if facts.held_out < POWERED_HELD_OUT:
        left.append(
            f"Little power: the search for copies calls every verdict underpowered below {POWERED_HELD_OUT} held-out "
            f"films; here are {facts.held_out} (it takes about {round(POWERED_HELD_OUT / FRACTIONS[2])} films in all)."
        )
    if not settings.signed:
        left.append("Left out: the signature: `pip install cryptography` (extra [sign]), and run again.")
    return left
