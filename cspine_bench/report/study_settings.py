"""What the settings of a reader study's result say of its analysis, read once and strictly."""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from cspine_bench.errors import DataError
from cspine_bench.report.files import ResultFile
from cspine_bench.study.recipe import AnalysisRecipe


@dataclass(frozen=True)
class StudySettings:
    """Of `study analyze`.

    Attributes:
        analysis: margins and error rates.
        chance: share of right answers of a reader who sees nothing.
        primary: names of the figures that the verdict rests on.
        simulated: whether the readers were made up.
        sources: names of sources by how figures spell them.
    """

    analysis: AnalysisRecipe
    chance: float
    primary: dict[str, Any]
    simulated: bool
    sources: dict[str, str]


def read_study_settings(file: ResultFile) -> StudySettings:
    """The settings of a result of measure `reader-study`.

    Raises:
        DataError: they are not as `study analyze` writes them.
    """
    settings = file.result.settings
    primary, chance, sources = (settings.get(name) for name in ("primary", "chance", "sources"))
    try:
        analysis = AnalysisRecipe.model_validate(settings.get("analysis"))
    except ValidationError as error:
        raise _explain(file, "analysis") from error
    if not isinstance(primary, dict):
        raise _explain(file, "primary")
    if not isinstance(chance, float) or not 0 < chance < 1:
        raise _explain(file, "chance")
    names = {key: str(name) for key, name in sources.items()} if isinstance(sources, dict) else {}
    return StudySettings(analysis, chance, primary, settings.get("simulated") is True, names)


def _explain(file: ResultFile, name: str) -> DataError:
    return DataError(
        f"{file.path}: settings.{name} is not as `study analyze` writes it; the file was changed: analyze the study "
        "again"
    )
