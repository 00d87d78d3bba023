"""Draw the pictures of docs/images/ from the code: `python docs/draw_figures.py`.

The samples are those of a dataset that was sampled: `python docs/draw_figures.py --samples demo/datasets/samples`.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np

from cspine_bench.dataset.read import open_dataset
from cspine_bench.imaging.contact_sheet import Tile, draw_contact_sheet
from cspine_bench.imaging.png import decode_png
from cspine_bench.recipe import apply_overrides
from cspine_bench.sources.phantom import PhantomRecipe, PhantomSource
from cspine_bench.sources.phantom.artefacts import ARTEFACTS

FOLDER = Path(__file__).parent / "images"
FOOTER = "synthetic phantom - not for diagnosis"
SEED = 2


def render(overrides: list[str], indices: range, captions: list[str], *, labels: bool = False) -> list[Tile]:
    """Tiles of some phantom radiographs."""
    source = PhantomSource(apply_overrides(PhantomRecipe(), overrides), indices.stop, SEED)
    films = source.iter_radiographs(source.list_samples()[indices.start :])
    return [
        Tile(film.image, film.mask if labels else None, film.landmarks_xy if labels else None, caption)
        for film, caption in zip(films, captions, strict=True)
    ]


def describe(indices: range) -> list[str]:
    """Class, sex and age of each sample."""
    keys = PhantomSource(PhantomRecipe(), indices.stop, SEED).list_samples()[indices.start :]
    return [f"{key.sample_id}\n{key.strata['curvature']} · {key.strata['sex']}" for key in keys]


def draw_annotated() -> None:
    """Outlines and landmarks."""
    indices = range(6)
    tiles = render([], indices, describe(indices), labels=True)
    draw_contact_sheet(tiles, columns=6, footer=FOOTER).save(FOLDER / "phantom_annotated.png")


def draw_variants() -> None:
    """One person: other layers, views and bit depths."""
    one = range(1)
    plain = ["collimation_share=0", "marker_share=0"]
    tiles = render(plain, one, ["lateral\nall tissue"])
    tiles += render([*plain, "layer=bone"], one, ["lateral\nlayer=bone"])
    tiles += render([*plain, "layer=soft"], one, ["lateral\nlayer=soft"])
    views = (20, 45, 90)
    turned = [*plain, f"view_angles_deg={list(views)}"]
    tiles += render(turned, range(3), [f"view {view} degrees\nall tissue" for view in views])
    draw_contact_sheet(tiles, columns=6, footer=FOOTER).save(FOLDER / "phantom_variants.png")


def draw_artefacts() -> None:
    """Every artefact at three strengths."""
    tiles = []
    for strength in np.array([0.3, 0.6, 1.0]):
        for name in ARTEFACTS:
            overrides = [f"artefacts=[{name}]", f"artefact_strength=[{strength}, {strength}]", "collimation_share=0"]
            tiles += render(overrides, range(1), [f"{name}\nstrength {strength}"])
    draw_contact_sheet(tiles, columns=len(ARTEFACTS), footer=FOOTER, tile_px=192).save(FOLDER / "phantom_artefacts.png")


def draw_samples(dataset: Path) -> None:
    """Samples of a generator as they are, and the first of them with what they were told."""
    records = list(itertools.islice(open_dataset(dataset).iter_records(), 18))
    plain, told = [], []
    for number, record in enumerate(records):
        image = decode_png(record.image, where=record.sample_id)
        caption = f"{record.sample_id}\n{record.curvature}"
        plain.append(Tile(image, None, None, caption))
        if number < 6 and record.mask is not None:
            mask = decode_png(record.mask, where=record.sample_id).astype(np.uint8)
            told.append(Tile(image, mask, np.array(record.landmarks_xy), f"{record.sample_id}\nas it was told"))
    footer = "synthetic, sampled from a trained network - not for diagnosis"
    draw_contact_sheet([*told, *plain], columns=6, footer=footer).save(FOLDER / "ddpm_samples.png")


def draw_first_screen(dataset: Path) -> None:
    """Phantoms, samples, and the same samples with what they were told: six of each, as they come."""
    indices = range(6)
    phantoms = render([], indices, [f"{text.split(chr(10))[0]}\nphantom" for text in describe(indices)])
    plain, told = [], []
    for record in itertools.islice(open_dataset(dataset).iter_records(), len(indices)):
        image = decode_png(record.image, where=record.sample_id)
        plain.append(Tile(image, None, None, f"{record.sample_id}\nsampled, {image.shape[0]} px"))
        mask = None if record.mask is None else decode_png(record.mask, where=record.sample_id).astype(np.uint8)
        told.append(Tile(image, mask, np.array(record.landmarks_xy), f"{record.sample_id}\nlabels it came with"))
    footer = "synthetic - not for diagnosis"
    draw_contact_sheet([*phantoms, *plain, *told], columns=6, footer=footer).save(FOLDER / "samples.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, help="dataset of samples; only their two pictures are drawn then")
    samples = parser.parse_args().samples
    FOLDER.mkdir(exist_ok=True)
    if samples is not None:
        draw_samples(samples)
        draw_first_screen(samples)
        return
    for draw in (draw_annotated, draw_variants, draw_artefacts):
        draw()


if __name__ == "__main__":
    main()
