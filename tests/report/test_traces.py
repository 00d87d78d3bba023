"""Every number of the report is in the file that it points to; the evidence holds no number that points nowhere."""

import json
import re
from typing import Any

import pytest

from cspine_bench.report.build import Given, build_report
from cspine_bench.report.files import collect_results

from .report_example import Traces, build_readers, copy_published, write_result

EVIDENCE = ("verdict", "verdicts", "fidelity", "memorization", "usefulness", "readers")
NUMBER = re.compile(r"−?\d[\d,]*(?:\.\d+)?(?: × 10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?")
NAMES = re.compile(
    r"mixed-\d|, \d+ synthetic for each|lite0|\b(?:8|16) bit\b"
    r"|report of \d+ results|cspine-bench [\d.]+"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Traces, dict[str, Any]]:
    folder = copy_published(tmp_path_factory.mktemp("results"))
    write_result(folder / "reader-study.json", build_readers(simulated=False))
    collected = collect_results([folder])
    page = build_report(Given(collected), folder / "report.html").page
    # Read anew, by nothing of the package.
    return Traces(page), {file.key: json.loads(file.path.read_bytes()) for file in collected.files}


def read_numbers(text: str) -> list[tuple[float, float]]:
    """(value, half of the last digit's place)."""
    found = []
    for token in NUMBER.findall(text):
        mantissa, _, power = token.replace("−", "-").replace(",", "").partition(" × 10")
        scale = 10.0 ** int(power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))) if power else 1.0
        decimals = len(mantissa.partition(".")[2])
        found.append((float(mantissa) * scale, 0.5000001 * 10.0**-decimals * scale))
    return found


def is_among(number: tuple[float, float], values: list[float]) -> bool:
    return any(abs(number[0] - value) <= number[1] for value in values)


def test_each_number_is_in_its_file(made: tuple[Traces, dict[str, Any]]) -> None:
    traces, files = made
    counted: dict[str, int] = {}
    for found, text in traces.traced:
        if "data-figure" not in found:
            continue
        figure, part = files[found["data-file"]]["figures"][int(found["data-figure"])], found["data-part"]
        factor = 100 if figure["unit"] == "share" else 1
        floor, interval = figure["floor"] or {}, figure["interval"] or {}
        known = {
            "value": [figure["value"]], "interval": [interval.get("low"), interval.get("high")],
            "matched": [floor.get("matched")], "floor": [floor.get("low"), floor.get("high")],
        }  # fmt: skip
        numbers = read_numbers(text)
        where = f"{found['title']}: {text!r}"
        if part in known:
            if text.startswith("below "):
                assert figure["value"] < numbers[0][0], where
            else:
                assert len(numbers) == len(known[part]), where
                for number, value in zip(numbers, known[part], strict=True):
                    assert is_among(number, [factor * value]), where
        elif part == "used":
            assert numbers and all(is_among(one, list(figure["n_used"].values())) for one in numbers), where
        else:
            total = figure["n_used"].get("synthetic", 0)
            ends = [end for end in (interval.get("low"), interval.get("high")) if end is not None]
            told = [100 * value for value in (figure["value"], *ends, interval.get("level", 0))]
            told += [total, *(end * total for end in ends), 100 * float(figure["condition"].get("fraction", 0))]
            assert numbers and all(is_among(one, told) for one in numbers), where
        counted[part] = counted.get(part, 0) + 1
    assert set(counted) == {"value", "interval", "matched", "floor", "used", "words"}
    assert counted["value"] > 40


def test_verdicts_and_settings_are_those_of_the_file(made: tuple[Traces, dict[str, Any]]) -> None:
    traces, files = made
    parts = set()
    for found, text in traces.traced:
        if "data-file" not in found or "data-figure" in found:
            continue
        part, file = found["data-part"], files[found["data-file"]]
        parts.add(part.partition(".")[0])
        if part == "verdict":
            assert text in file["verdict"] or text.replace("  ", " ") in file["verdict"], text
            continue
        value: Any = file
        for step in part.split("."):
            value = value[int(step)] if isinstance(value, list) else value[step]
        [number] = read_numbers(text)
        assert is_among(number, [value, 100 * value]), (part, text)
    assert parts == {"verdict", "inputs", "settings"}


def test_counts_of_verdicts_are_those_of_the_figures(made: tuple[Traces, dict[str, Any]]) -> None:
    traces, files = made
    told = [text for found, text in traces.traced if " " in found.get("data-tally", "")]
    labels = [
        figure["note"].partition(";")[0]
        for file in files.values()
        if file["measure"].startswith("baseline-")
        for figure in file["figures"]
        if figure["name"].endswith("_difference")
        and figure["condition"].get("arm") in ("synthetic", "mixed-1", "pretrained")
        and figure["condition"].get("against", "real") == "real"
    ]
    assert told[0] == str(len(labels)) and told[1] == "2"
    wanted = [labels.count(one) for one in ("helps", "no difference within the margin", "hurts", "underpowered")]
    assert [round(value) for value, _ in read_numbers(told[2])] == wanted


def test_the_evidence_holds_no_number_that_points_nowhere(made: tuple[Traces, dict[str, Any]]) -> None:
    traces, _ = made
    for section in EVIDENCE:
        assert traces.bare[section].strip(), section
        left = NAMES.sub("", traces.bare[section])
        assert re.findall(r".{0,40}\d.{0,20}", left) == [], section
