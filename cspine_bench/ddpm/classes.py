"""Class labels as one number for the network: every combination of what is told has an id of its own, 0 for nothing."""

from collections.abc import Mapping, Sequence
from typing import Final

from cspine_bench.anatomy.classes import CURVATURE_CLASSES, SEXES
from cspine_bench.ddpm.recipe import ClassName

CLASS_VALUES: Final[dict[ClassName, tuple[str, ...]]] = {"curvature": CURVATURE_CLASSES, "sex": SEXES}
"""Values of each class that a network can be told, in the order of their numbers."""

NOT_TOLD: Final = 0
"""The id that tells nothing of any class."""


def count_class_ids(classes: Sequence[ClassName]) -> int:
    """Ids of a network that is told these classes: the product of their counts, each with one more for "not told"."""
    count = 1
    for name in classes:
        count *= len(CLASS_VALUES[name]) + 1
    return count


def encode_classes(classes: Sequence[ClassName], values: Mapping[str, str | None]) -> int:
    """The id of what is told: numbers with a digit for each class, the last one fastest.

    Args:
        classes: what the network can be told; their order decides the ids.
        values: by class, of those in `classes`; None or absent: not told.

    Returns:
        0 <= id < `count_class_ids(classes)`.

    Raises:
        ValueError: a value that its class does not have, or of a class that the network is not told.
    """
    if foreign := [name for name, value in values.items() if value is not None and name not in classes]:
        raise ValueError(f"the network is told {', '.join(classes) or 'no class'}, not {', '.join(foreign)}")
    number = NOT_TOLD
    for name in classes:
        known, value = CLASS_VALUES[name], values.get(name)
        if value is not None and value not in known:
            raise ValueError(f"no {name} {value!r}; there are {', '.join(known)}")
        number = number * (len(known) + 1) + (0 if value is None else known.index(value) + 1)
    return number
