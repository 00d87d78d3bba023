"""What a reader does besides answering: opens the link, agrees, checks the display, is shown a trial."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from cspine_bench.provenance import canonical_json
from cspine_bench.study.ledger.store import Ledger

MOST_OF_A_KIND: Final = 1000

Pixels = Annotated[int, Field(ge=0, le=100_000)]
Size = Annotated[list[Pixels], Field(min_length=2, max_length=2)]


class Display(BaseModel):
    """What a reader's page tells of the display.

    Args:
        device_pixel_ratio: physical pixels for each pixel of the page.
        viewport: width and height of the page, px.
        screen: width and height of the screen, px.
        full_screen: whether the page filled it.
        dark_patch: whether the reader found the 5 % patch on black.
        light_patch: whether the reader found the 95 % patch on white.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    device_pixel_ratio: Annotated[float, Field(gt=0, le=100)]
    viewport: Size
    screen: Size
    full_screen: bool
    dark_patch: bool
    light_patch: bool


def record_open(ledger: Ledger, reader: str) -> None:
    """That a link was opened; once for each link."""
    with ledger.transaction():
        sql = "SELECT kind FROM records WHERE kind IN ('open', 'enrol') AND reader = ? ORDER BY seq DESC LIMIT 1"
        if ledger.query(sql, reader) != [("open",)]:
            ledger.append("open", reader)


def record_consent(ledger: Ledger, reader: str) -> None:
    """That a reader agreed to take part; once."""
    with ledger.transaction():
        if not has_record(ledger, "consent", reader):
            ledger.append("consent", reader)


def record_display(ledger: Ledger, reader: str, display: Display) -> None:
    """What a reader reads on; again whenever it is another display, or the same one in another state.

    Nobody changes displays `MOST_OF_A_KIND` times: what comes after that is not kept.
    """
    body = display.model_dump(mode="json")
    with ledger.transaction():
        sql = "SELECT body FROM records WHERE kind = 'display' AND reader = ? ORDER BY seq DESC LIMIT 1"
        if ledger.query(sql, reader) != [(canonical_json(body),)] and not has_many(ledger, "display", reader):
            ledger.append("display", reader, body=body)


def record_shown(ledger: Ledger, reader: str, trial: int) -> None:
    """That a trial was given out; the first time only."""
    with ledger.transaction():
        if not has_record(ledger, "shown", reader, trial):
            ledger.append("shown", reader, trial)


def has_many(ledger: Ledger, kind: str, reader: str) -> bool:
    """Whether a reader has so many records of a kind that more would say nothing, and only fill the disk."""
    sql = "SELECT count(*) >= ? FROM records WHERE kind = ? AND reader = ?"
    return bool(ledger.query(sql, MOST_OF_A_KIND, kind, reader)[0][0])


def has_record(ledger: Ledger, kind: str, reader: str, trial: int | None = None) -> bool:
    """Whether there is a record of this kind of a reader, and of this trial where one is named."""
    if trial is None:
        return bool(ledger.query("SELECT 1 FROM records WHERE kind = ? AND reader = ? LIMIT 1", kind, reader))
    sql = "SELECT 1 FROM records WHERE kind = ? AND reader = ? AND trial = ? LIMIT 1"
    return bool(ledger.query(sql, kind, reader, trial))
