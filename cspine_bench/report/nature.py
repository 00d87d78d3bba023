"""What a report is about and is not, said from the results' own inputs and settings, and from what was given."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cspine_bench.report.chain import find_given, find_source, find_training_kinds
from cspine_bench.report.files import ResultFile
from cspine_bench.report.given import FILMS, GivenDataset, GivenRelease

PHANTOM = "phantom"


@dataclass(frozen=True)
class Banner:
    """A sentence of the first screen.

    Attributes:
        strong: its first words.
        text: the rest.
        plain: not a warning.
    """

    strong: str
    text: str
    plain: bool = False


def list_banners(
    files: Sequence[ResultFile],
    datasets: Sequence[GivenDataset],
    release: GivenRelease | None,
    *,
    real_pixels: bool,
    num_contradictions: int,
) -> list[Banner]:
    """What must be read before any number."""
    banners = []
    phantoms = _find_phantoms(files, datasets, release)
    if phantoms:
        banners.append(
            Banner(
                "Phantoms, not films.",
                f"What stands on the real side ({', '.join(phantoms)}) was computed from an analytic spine. Nothing "
                "here says how the images compare with films of patients.",
            )
        )
    elif real_pixels and any(one.role in FILMS for one in datasets):
        banners.append(
            Banner(
                "Real films.",
                "This page shows pixels of films: keep it where the films may be, or draw it with --no-real-pixels.",
            )
        )
    simulated = [file.name for file in files if is_simulated(file)]
    if simulated:
        banners.append(
            Banner("Simulated readers.", f"Nobody read the images of {', '.join(simulated)}: the answers were made up.")
        )
    if num_contradictions:
        words = "One thing does" if num_contradictions == 1 else "Some things do"
        banners.append(Banner("Contradictions.", f"{words} not go together; see below, before you rely on a number."))
    if not real_pixels:
        banners.append(
            Banner(
                "No real pixels.",
                "This report shows no pixel of a real film or of what stands for one, and no synthetic image that may "
                "be a copy.",
                plain=True,
            )
        )
    return banners


def is_simulated(file: ResultFile) -> bool:
    """Whether the readers of a study were made up, as its result says."""
    return file.result.measure == "reader-study" and file.result.settings.get("simulated") is True


def _find_phantoms(
    files: Sequence[ResultFile], datasets: Sequence[GivenDataset], release: GivenRelease | None
) -> list[str]:
    """Names of datasets on the real side that are known to be phantoms."""
    names = [one.name for one in datasets if one.role in FILMS and one.folder.manifest.source.get("kind") == PHANTOM]
    for digest in dict.fromkeys(digest for file in files for digest in file.digests("synthetic")):
        given = find_given(digest, datasets)
        if PHANTOM in find_training_kinds(find_source(digest, given, release)):
            names += [
                item.name.partition(" (")[0]
                for file in files
                if digest in file.digests("synthetic")
                for item in file.result.inputs
                if item.role in FILMS
            ]
    return list(dict.fromkeys(names))


def _list_kinds(
    files: Sequence[ResultFile], datasets: Sequence[GivenDataset], release: GivenRelease | None
) -> list[str]:
    """Where the films came from, as their own manifest or that of the synthetic images says."""
    kinds = {str(one.folder.manifest.source.get("kind", "")) for one in datasets if one.role in FILMS}
    for digest in {digest for file in files for digest in file.digests("synthetic")}:
        kinds |= set(find_training_kinds(find_source(digest, find_given(digest, datasets), release)))
    return sorted(kinds - {""})


def describe_nature(
    files: Sequence[ResultFile], datasets: Sequence[GivenDataset], release: GivenRelease | None, *, real_pixels: bool
) -> list[str]:
    """Sentences."""
    return list(_iter_sentences(files, datasets, release, real_pixels))


def _iter_sentences(
    files: Sequence[ResultFile], datasets: Sequence[GivenDataset], release: GivenRelease | None, real_pixels: bool
) -> Iterator[str]:
    phantoms = _find_phantoms(files, datasets, release)
    patients = (
        "depict no patient" if phantoms else "are meant to depict no patient: whether films were copied is asked below"
    )
    yield (
        "Evidence about synthetic lateral cervical-spine radiographs, drawn from result files and from nothing else. "
        f"The images are synthetic; they are not for diagnosis, not for treatment, and {patients}."
    )
    names = {item.name for file in files for item in file.result.inputs if item.role in FILMS}
    films = sorted({name.partition(" (")[0] for name in names})
    if phantoms:
        yield (
            f"The real side is made of phantoms, not of films: {', '.join(phantoms)}. “Real” in this report means "
            "“what the generator learnt from, or its like”. It shows how the measures work; no claim about films is "
            "made."
        )
    elif films and (kinds := _list_kinds(files, datasets, release)):
        yield (
            f"The real side is {', '.join(films)}: radiographs imported from {', '.join(kinds)}, and taken for films "
            "of patients."
        )
    elif films:
        yield (
            f"The real side is {', '.join(films)}. Whether that is films or phantoms the results do not say; "
            "--dataset real=FOLDER or --release RELEASE tells it."
        )
    studies = [file for file in files if file.result.measure == "reader-study"]
    if any(is_simulated(file) for file in studies):
        yield "The readers were simulated: nobody looked at an image, and the answers show only how an analysis looks."
    for file in studies:
        standing = file.result.settings.get("registration")
        if standing and standing != "pre-registered":
            yield f"The analysis of {file.name} is {standing}: it may have been chosen after the answers were seen."
    yield (
        "“No difference seen” is never “the same”; “none found” is never “none there”; “underpowered” is neither good "
        "nor bad. Each says how hard was looked."
    )
    yield (
        "It is the essence of each measurement. Every figure, with its method and limits, is on the measure’s own page "
        "and in its result file, which the appendix names with its hash."
    )
    if not real_pixels:
        yield (
            "No real film is shown, nor anything that one could be computed from; synthetic images are shown only "
            "where a search for copies with its rows beside it has cleared them."
        )
