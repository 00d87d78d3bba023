"""The page on scale holds the tables that its script makes from measurements, and the script calculates right."""

import pytest

from benchmarks import scale_costs
from benchmarks.scale_costs import Memory, fit_memory, say_bytes, say_hours


def test_the_page_is_what_the_script_makes() -> None:
    page = scale_costs.PAGE.read_text(encoding="utf-8")
    assert scale_costs.fill_page(page) == page, "run `python benchmarks/scale_costs.py --write`"
    with pytest.raises(ValueError, match="0 blocks named storage"):
        scale_costs.fill_page(page.replace("<!-- storage:", "<!--"))


def test_memory_is_a_line_through_two_peaks() -> None:
    found = fit_memory("step", {"count": 1000, "peak_mib": 101}, {"count": 3000, "peak_mib": 103})
    assert found == Memory("step", 100, 1048.576, (1000, 3000)) and found.grows
    assert found.total_gib(2**20) == pytest.approx(100 / 1024 + 1048.576 / 1024)
    # Less at the larger number is noise of the measurement: nothing is taken off.
    flat = fit_memory("step", {"count": 1000, "peak_mib": 101}, {"count": 3000, "peak_mib": 99})
    assert not flat.grows and flat.total_gib(10**9) == 99 / 1024


def test_files_are_counted_as_the_writer_cuts_them() -> None:
    row = {"estimated_bytes": 40_000}  # 10,000 rows a file
    assert scale_costs.count_files(1_000_000, row) == 80 + 16 + 16  # at least 16 a split, for as many readers
    assert scale_costs.count_files(100_000_000, row) == 10_000


def test_a_bottleneck_is_memory_or_else_time() -> None:
    [small, *_] = scale_costs.find_bottlenecks(scale_costs.COUNTS[0])
    assert small.startswith("time: ")
    largest = max(memory.total_gib(scale_costs.COUNTS[-1]) for memory in scale_costs.list_memory() if memory.grows)
    assert largest > scale_costs.MEMORY_GIB
    assert scale_costs.find_bottlenecks(scale_costs.COUNTS[-1])[0].startswith("memory of ")


def test_units() -> None:
    assert [say_hours(hours) for hours in (0.001, 0.5, 30, 9000)] == [
        "3.6 core-s", "30 core-min", "1.25 core-days", "1.03 core-years"
    ]  # fmt: skip
    assert [say_bytes(count) for count in (5, 4202 * 20_000, 138e11)] == ["5 B", "84 MB", "13.8 TB"]
