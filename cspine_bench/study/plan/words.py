"""The protocol in words: what is asked, and what is left out of which analysis."""

from cspine_bench.study.protocol import Hypotheses
from cspine_bench.study.recipe import StudyRecipe

_TASKS = {
    "quartet": "pick the real one of four images",
    "pair": "pick the real one of two images",
    "single": "say whether a single image is real or synthetic",
}


def write_hypotheses(recipe: StudyRecipe) -> Hypotheses:
    """The hypotheses of a study, from its recipe."""
    asked = recipe.analysis
    test = (
        "exact test of random labels within display sets"
        if recipe.num_panes > 1
        else "exact test of random labels over images"
    )
    ratings = (
        f"Mean rating of real minus that of each synthetic source: margin {asked.rating_margin:g} steps, two one-sided "
        f"tests at {asked.alpha:g}; exact permutation Wilcoxon tests with the {asked.rating_unit} as unit, Holm over "
        "sources."
        if recipe.ratings
        else "Images are not rated."
    )
    habit = "" if recipe.num_panes > 1 else ", or not called synthetic more often than real images (Fisher, likewise)"
    return Hypotheses(
        primary=(
            f"Readers {_TASKS[recipe.design]} more often than by chance ({recipe.chance:.3g}); {test}, one-sided, "
            f"error rate {asked.alpha:g}."
        ),
        equivalence=(
            f"Accuracy differs from chance by less than {asked.accuracy_margin:g}: two one-sided tests at "
            f"{asked.alpha:g} each from the two-way random model of readers and cases, shown also where no variance "
            "component is taken as negative. A test that finds no difference shows none of this."
        ),
        ratings=ratings,
        agreement=(
            "Agreement of readers on the picked image, estimated with its interval and with no hypothesis. Chance "
            "agreement says nothing for the images: readers who all guess agree by chance too."
        ),
        order=(
            f"First the positive controls: accuracy below {asked.control_accuracy:g}, or not above chance by an exact "
            f"one-sided test at {asked.alpha:g}{habit}, means that the study shows "
            "nothing about small differences. Then the primary test. Then equivalence. Sources one by one, and "
            "ratings, after these, each with Holm's correction."
        ),
    )


def write_exclusions(recipe: StudyRecipe) -> tuple[str, ...]:
    """What is left out of which analysis."""
    said = ["Training trials are in no analysis."]
    if recipe.repeats:
        said.append("Second looks at a case are in the agreement of readers with themselves alone.")
    if recipe.positive_controls:
        said.append("Positive controls are in the check that readers looked alone.")
    if recipe.negative_controls:
        said.append("Negative controls, in which no image is real, are in the description of habits alone.")
    said += [
        "A trial without an answer is missing: it is neither right nor wrong, and the number of them is reported.",
        "No reader and no answer is left out for being quick, slow, or always of one pane; such habits are reported.",
    ]
    return tuple(said)
