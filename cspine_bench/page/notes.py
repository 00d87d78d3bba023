"""Notes of figures sorted for a table: what a row says alone stands in it, what many rows say stands below once."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from cspine_bench.page.wording import count_used, list_methods, spell_sentence
from cspine_bench.results import Figure

_LONGEST: Final = 70
"""Characters of a note that a row holds; a longer one goes below."""


class Notes:
    """The notes of the rows of a table, sentence by sentence."""

    def __init__(self, figures: Sequence[Figure], *, longest: int = _LONGEST) -> None:
        """Sort them.

        Args:
            figures: one for each row; what is said of all their images is said once too.
            longest: characters of a row's own note.
        """
        self._sentences = {id(figure): _split(figure.note) for figure in figures}
        counts = Counter(sentence for found in self._sentences.values() for sentence in dict.fromkeys(found))
        self._of_all = [
            one for one, count in counts.items() if count == len(figures) and (count > 1 or len(one) > longest)
        ]
        self._of_some = [
            one for one, count in counts.items() if one not in self._of_all and (count > 1 or len(one) > longest)
        ]
        used = list(dict.fromkeys(map(count_used, figures)))
        self.images = used[0] if len(used) == 1 and len(figures) > 1 else ""
        floors = list(dict.fromkeys(figure.floor.n_used for figure in figures if figure.floor is not None))
        self.floor_images = f"{floors[0][0]:,} against {floors[0][1]:,}" if len(floors) == 1 else ""
        self.methods = list_methods(figures)

    def numbers(self, figure: Figure) -> str:
        """Numbers of the notes below that are of this row: "1, 3"."""
        found = self._sentences.get(id(figure), [])
        return ", ".join(str(self._of_some.index(one) + 1) for one in found if one in self._of_some)

    def own(self, figure: Figure) -> str:
        """What this row alone says."""
        found = self._sentences.get(id(figure), [])
        return " ".join(one for one in found if one not in self._of_some and one not in self._of_all)

    @property
    def below(self) -> list[tuple[str, str]]:
        """(number or "", sentence) of what stands below the table."""
        return [("", one) for one in self._of_all] + [(str(k), one) for k, one in enumerate(self._of_some, start=1)]


def _split(note: str) -> list[str]:
    return [spell_sentence(sentence) for sentence in note.split(". ") if sentence.strip()]


def sort_notes(figures: Sequence[Figure], *, longest: int = _LONGEST) -> Notes:
    """`Notes`, for templates."""
    return Notes(figures, longest=longest)
