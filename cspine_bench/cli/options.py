"""Options that several commands share, spelled once."""

import functools
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from cspine_bench.anatomy.classes import FACINGS

if TYPE_CHECKING:
    from cspine_bench.dataset.parts import Part
    from cspine_bench.dataset.ray_tasks import RayCluster

F = TypeVar("F", bound=Callable[..., Any])

EXISTING_PATH: Final = click.Path(exists=True, path_type=Path)
NEW_PATH: Final = click.Path(path_type=Path)
FITS: Final = ("pad", "crop")
OVERLAYS: Final = ("mask", "crop", "keep", "refuse")
EXECUTORS: Final = ("processes", "ray")
SAMPLERS: Final = ("ddpm", "ddim", "dpmpp-2m", "unipc", "heun")
GRIDS: Final = ("time", "log-snr")
PRECISIONS: Final = ("float32", "bfloat16")
QUALITY_RULES: Final = ("blank", "saturated", "noise", "skeleton")
KEEP_SIZE: Final = 0
SPLIT: Final = click.Choice(("train", "validation", "test"))


class _Seed(click.types.IntParamType):
    """A whole number that fits 63 bits; help names no bounds, as nobody meets them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number = int(super().convert(value, param, ctx))
        if not 0 <= number < 2**63:
            self.fail(f"{number} is not in the range 0<=x<={2**63 - 1}.", param, ctx)
        return number


SEED: Final = _Seed()


def parse_fractions(context: click.Context, option: click.Parameter, text: str) -> tuple[float, float, float]:
    """Three shares of train, validation and test from `0.8,0.1,0.1`.

    Raises:
        click.BadParameter: not three shares that add up to 1.
    """
    try:
        train, validation, test = (float(part) for part in text.split(","))
    except ValueError:
        train = validation = test = -1.0
    shares = (train, validation, test)
    if not all(0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-9:
        raise click.BadParameter(f"{text!r} is not three shares that add up to 1, for example 0.8,0.1,0.1")
    return shares


def parse_device(context: click.Context, option: click.Parameter, text: str | None) -> str | None:
    """`cpu`, `cuda` or `cuda:N`, and there is such a device; None for an option that was not given.

    Raises:
        click.BadParameter: another name, or this machine has no such device. There is no fallback to the CPU.
    """
    if text is None or text == "cpu":
        return text
    if not re.fullmatch(r"cuda(:\d+)?", text):
        raise click.BadParameter(f"{text!r} is none of cpu, cuda, cuda:N: name one of them")
    import torch

    found = torch.cuda.device_count()
    if int(text.partition(":")[2] or 0) >= found:
        raise click.BadParameter(
            f"{text!r} is not there: this machine has {found} CUDA devices that torch can use; name one of them, or cpu"
        )
    return text


def device_option(command: F) -> F:
    """Add `--device`, by default the processor."""
    result: F = click.option(
        "--device", default="cpu", show_default=True, callback=parse_device, help="cpu, cuda or cuda:N."
    )(command)
    return result


def parse_checkpoints(context: click.Context, option: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    """Steps above 0, `best` or `last`.

    Raises:
        click.BadParameter: another word.
    """
    for name in names:
        if name not in ("best", "last") and not re.fullmatch(r"[1-9]\d*", name):
            raise click.BadParameter(f"{name!r} is neither a step nor `best` nor `last`")
    return names


def parse_classes(context: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Value by class from `curvature=kyphotic`, each class once.

    Raises:
        click.BadParameter: not of this form, or a class twice.
    """
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value) or name in values:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE, for example sex=female, with each name once")
        values[name] = value
    return values


@dataclass(frozen=True, slots=True)
class Printing:
    """How a command prints. See `printing_options`."""

    as_json: bool
    quiet: bool


@dataclass(frozen=True, slots=True)
class Writing:
    """How a command that makes a dataset writes it. See `writing_options`."""

    fractions: tuple[float, float, float]
    seed: int
    shard_rows: int | None
    part: "Part | None"
    num_workers: int
    ray: "RayCluster | None"
    overwrite: bool
    dry_run: bool


def executor_options(*, processes: str, executor: str, shard: str | None = None) -> Callable[[F], F]:
    """Add `--workers`, `--executor` and `--ray-address`; and `--shard`, that the command gets as `part`.

    Args:
        processes: what worker processes do, after "Processes that".
        executor: help of `--executor`.
        shard: help of `--shard`; None: there is none.
    """
    found: list[Callable[[Any], Any]] = [
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            help=f"Processes that {processes} [1], or Ray tasks at a time [all that fit].",
        ),
        click.option("--executor", type=click.Choice(EXECUTORS), default="processes", show_default=True, help=executor),
        click.option(
            "--ray-address", metavar="ADDRESS", help="Ray cluster to use.  [RAY_ADDRESS, else one started here]"
        ),
    ]
    if shard is not None:
        found.insert(1, click.option("--shard", "part", metavar="K/N", callback=parse_shard, help=shard))

    def decorate(command: F) -> F:
        wrapped: Any = command
        for option in reversed(found):
            wrapped = option(wrapped)
        result: F = wrapped
        return result

    return decorate


def choose_executor(asked: Mapping[str, Any], *, hands_out: str = "files") -> dict[str, Any]:
    """`num_workers` and `ray` of the function that a command calls, from the options of `executor_options`.

    Args:
        asked: values by option, with `device` where the command has it.
        hands_out: what Ray distributes.

    Raises:
        click.UsageError: options exclude each other.
    """
    device = str(asked.get("device") or "cpu")
    if asked["executor"] != "ray":
        if asked["ray_address"] is not None:
            raise click.UsageError("--ray-address needs --executor ray")
        return {"num_workers": asked["workers"] or 1, "ray": None}
    if asked.get("part") is not None:
        raise click.UsageError(f"--shard and --executor ray: name one of them; Ray hands out the {hands_out} itself")
    if ":" in device:
        raise click.UsageError(f"--device {device} and --executor ray: say cuda, Ray chooses the GPU of each task")
    from cspine_bench.dataset.ray_tasks import RayCluster

    cluster = RayCluster(asked["ray_address"], num_gpus=float(device != "cpu"), max_tasks=asked["workers"])
    return {"num_workers": 1, "ray": cluster}


def connect_executor(asked: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Be connected to the cluster that is asked for, if one is, while the block runs."""
    from cspine_bench.dataset.ray_tasks import connect

    return connect(asked["ray_address"]) if asked["executor"] == "ray" else nullcontext()


@dataclass(frozen=True, slots=True)
class Importing:
    """What is asked of a source of real films; `settings` are those `ImportOptions` that were given."""

    settings: dict[str, Any]
    skip_bad: bool
    max_bad: int | None


def checkpoint_option(text: str) -> Callable[[F], F]:
    """Add `--checkpoint`, that may be given several times; the command gets `checkpoints`. `text` is its help."""
    return click.option(
        "--checkpoint", "checkpoints", multiple=True, metavar="STEP|best|last", callback=parse_checkpoints, help=text
    )


def printing_options(command: F) -> F:
    """Add `--json` and `--quiet`; the command gets them as `printing`."""
    return _gather(
        command,
        "printing",
        lambda values: Printing(values.pop("as_json"), values.pop("quiet")),
        click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document."),
        click.option("--quiet", is_flag=True, help="No progress and no notes on stderr."),
    )


def parse_shard(context: click.Context, option: click.Parameter, text: str | None) -> "Part | None":
    """A part of a dataset from `K/N`; None for an option that was not given.

    Raises:
        click.BadParameter: not of this form, or there is no such part.
    """
    from cspine_bench.dataset.parts import parse_part

    try:
        return None if text is None else parse_part(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def writing_options(command: F) -> F:
    """Add the options of `write_dataset` and `write_part`; the command gets them as `writing`."""
    names = ("fractions", "seed", "shard_rows", "part", "overwrite", "dry_run")

    def build(values: dict[str, Any]) -> Writing:
        chosen = choose_executor(values)
        for name in ("workers", "executor", "ray_address"):
            del values[name]
        return Writing(**{name: values.pop(name) for name in names}, **chosen)

    return _gather(
        command,
        "writing",
        build,
        click.option(
            "--fractions",
            default="0.8,0.1,0.1",
            show_default=True,
            callback=parse_fractions,
            help="Shares of train, validation and test.",
        ),
        click.option("--seed", type=SEED, default=0, show_default=True, help="Decides splits, order and random draws."),
        click.option("--shard-rows", type=click.IntRange(min=1), help="Most radiographs in one file.  [by size]"),
        executor_options(
            processes="make files",
            executor="What makes files.",
            shard="Make files K, K + N ... of the dataset only, K from 0 to N - 1; the part that finds all "
            "made finishes it.",
        ),
        click.option("--overwrite", is_flag=True, help="Replace another dataset that lies in OUT."),
        click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing."),
    )


def parse_size(context: click.Context, option: click.Parameter, text: str | None) -> int | None:
    """A side in pixels; `KEEP_SIZE` for `keep`, None for an option that was not given.

    Raises:
        click.BadParameter: neither `keep` nor a whole number from 16 to 32767.
    """
    if text is None or text == "keep":
        return None if text is None else KEEP_SIZE
    if not text.isdecimal() or not 16 <= int(text) <= 32767:
        raise click.BadParameter(f"{text!r} is neither `keep` nor a whole number from 16 to 32767")
    return int(text)


def importing_options(command: F) -> F:
    """Add the options that all sources of real films share; the command gets them as `importing`."""

    def build(values: dict[str, Any]) -> Importing:
        if values["max_bad"] is not None and not values["skip_bad"]:
            raise click.UsageError("--max-bad needs --skip-bad")
        given = {name: values.pop(name) for name in ("size", "fit", "overlays", "facing", "source_facing")}
        settings = {name: value for name, value in given.items() if value is not None}
        if settings.get("size") == KEEP_SIZE:
            settings["size"] = None
        return Importing(settings, values.pop("skip_bad"), values.pop("max_bad"))

    return _gather(
        command,
        "importing",
        build,
        click.option(
            "--size",
            callback=parse_size,
            metavar="PX|keep",
            help="Side of the square result, or each film's own.  [256]",
        ),
        click.option(
            "--fit", type=click.Choice(FITS), help="Make a film square by a black border or by cutting.  [pad]"
        ),
        click.option("--overlays", type=click.Choice(OVERLAYS), help="What happens to burned-in marks.  [mask]"),
        click.option(
            "--facing", type=click.Choice(("keep", *FACINGS)), help="Mirror films that face the other way.  [keep]"
        ),
        click.option("--source-facing", type=click.Choice(FACINGS), help="Side that the patients face in SRC."),
        click.option("--skip-bad", is_flag=True, help="Go on after a film that cannot be used, and list it."),
        click.option("--max-bad", type=click.IntRange(min=0), help="With --skip-bad: fail when more films are bad."),
    )


def _gather(command: F, name: str, build: Callable[[dict[str, Any]], Any], *decorators: Callable[[Any], Any]) -> F:
    @functools.wraps(command)
    def call(**values: Any) -> Any:
        gathered = build(values)
        return command(**values, **{name: gathered})

    wrapped: Any = call
    for decorate in reversed(decorators):
        wrapped = decorate(wrapped)
    result: F = wrapped
    return result
