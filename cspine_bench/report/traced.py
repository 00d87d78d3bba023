"""Numbers of the page with their way back: each names the result file and the figure in it that it was read from."""

from markupsafe import Markup, escape

from cspine_bench.page.wording import describe_conditions, format_number, show_figure
from cspine_bench.report.files import ResultFile
from cspine_bench.results import Figure


class Traced:
    """The figures of one result file, printed so that each says where it stands.

    An element of a number has `data-file` (key of the file), `data-figure` (its place in the file's list, from 0) and
    `data-part` (`value`, `interval`, `matched`, `floor`, `used` or `words`); its title says the same in words.
    """

    def __init__(self, file: ResultFile) -> None:
        """Of this file."""
        self.file = file
        self._places = {id(figure): place for place, figure in enumerate(file.result.figures)}

    def mark(self, figure: Figure, part: str, text: str) -> Markup:
        """Text that was read from a part of a figure."""
        if not text:
            return Markup("")
        title = f"{self.file.name}, figure {self._places[id(figure)]}: {name_in_file(figure)}, {part}"
        return Markup(
            f'<span class="traced" data-file="{self.file.key}" data-figure="{self._places[id(figure)]}" '
            f'data-part="{part}" title="{escape(title)}">{escape(text)}</span>'
        )

    def value(self, figure: Figure) -> Markup:
        """The value with its unit."""
        return self.mark(figure, "value", show_figure(figure).value)

    def matched(self, figure: Figure) -> Markup:
        """The value at the floor's numbers of images; the value itself where it is not known there."""
        shown = show_figure(figure)
        return self.mark(figure, "matched", shown.matched) if shown.matched else self.value(figure)

    def floor(self, figure: Figure) -> Markup:
        """The range of the floor."""
        return self.mark(figure, "floor", show_figure(figure).floor_range)

    def interval(self, figure: Figure) -> Markup:
        """Both ends of the interval."""
        return self.mark(figure, "interval", show_figure(figure).interval)

    def used(self, figure: Figure, text: str) -> Markup:
        """Numbers of samples."""
        return self.mark(figure, "used", text)

    def p_value(self, figure: Figure) -> Markup:
        """A p value: two digits, or that it is below .0001."""
        text = "below 0.0001" if figure.value < 1e-4 else format_number(figure.value, digits=2)
        return self.mark(figure, "value", text)

    def words(self, figure: Figure, text: str) -> Markup:
        """A sentence that was made from a figure."""
        return self.mark(figure, "words", text)

    def verdict(self, text: str) -> Markup:
        """Words of the result's own verdict."""
        title = f"{self.file.name}: verdict"
        return Markup(
            f'<span class="traced" data-file="{self.file.key}" data-part="verdict" title="{escape(title)}">'
            f"{escape(text)}</span>"
        )

    def setting(self, path: str, text: str) -> Markup:
        """Something that the settings or the head of the result say; `path` is its place, joined by dots."""
        return Markup(
            f'<span class="traced" data-file="{self.file.key}" data-part="{escape(path)}" '
            f'title="{escape(f"{self.file.name}: {path}")}">{escape(text)}</span>'
        )

    @property
    def source(self) -> Markup:
        """A superscript that leads to the file in the appendix."""
        return Markup(
            f'<sup class="source"><a href="#file-{self.file.key}" title="{escape(self.file.name)}">'
            f"{self.file.number}</a></sup>"
        )


def name_in_file(figure: Figure) -> str:
    """A figure's name as the file has it, with its subgroup and condition."""
    told = describe_conditions({**figure.subgroup, **figure.condition})
    return figure.name if told == "all" else f"{figure.name} [{told}]"


def mark_dataset(digest: str, text: str) -> Markup:
    """A number that was counted in a dataset folder, by the digest of its manifest."""
    return Markup(f'<span class="traced" data-dataset="{digest}" title="dataset {digest[:12]}">{escape(text)}</span>')
