"""A trained generator as a pipeline folder of diffusers, which loads and runs without this package.

    OUT/model_index.json, unet/, scheduler/   what `diffusers.DDPMPipeline.from_pretrained(OUT)` reads
    OUT/cspine_bench.json                     where the weights came from
    OUT/README.md                             the model card, with the lines that make pictures

The pipeline is the network without conditions: a map that is withheld is 0 and so adds nothing in the first
convolutions, whose planes for it are cut off; the embedding of "no class" becomes a part of the time's. Both are exact.
The network is a stock `UNet2DModel`. One with `refine_channels`, or of objective flow-edm, is that with a few lines
around it, which the folder then holds as a file of code.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import DDPMPipeline, DDPMScheduler, FlowMatchEulerDiscreteScheduler, UNet2DModel

from cspine_bench.dataset.files import explain_full_disk, move_into_place, sync_folder
from cspine_bench.ddpm import block_unet
from cspine_bench.ddpm.block_unet import BlockUNet
from cspine_bench.ddpm.checkpoint import Generator
from cspine_bench.ddpm.classes import NOT_TOLD
from cspine_bench.ddpm.network import UnshuffledUNet
from cspine_bench.ddpm.objectives import SIGMA_DATA
from cspine_bench.ddpm.path import FLOW, select_path
from cspine_bench.ddpm.path import Path as NoisePath
from cspine_bench.ddpm.recipe import DdpmRecipe
from cspine_bench.errors import DataError, RecipeError
from cspine_bench.provenance import package_version, sha256_file

PROVENANCE_NAME: Final = "cspine_bench.json"
_NUM_TRAIN_TIMESTEPS: Final = 1000
"""The network is told its time in thousandths, and diffusers counts steps from 0 to 999."""


@dataclass(frozen=True)
class ExportSummary:
    """What was exported: where, which weights, their hash in the run and in the pipeline's own file."""

    path: Path
    run_id: str
    step: int
    ema: float
    weights_sha256: str
    exported_sha256: str


def export_pipeline(generator: Generator, out: Path) -> ExportSummary:
    """Write a pipeline folder: whole when this returns, or not there at all.

    Args:
        generator: from `load_generator`, on the CPU.
        out: the folder: absent, or holding the same export already.

    Raises:
        RecipeError: the objective is edm, which no plain pipeline of diffusers runs.
        DataError: `out` holds something else, or the disk is full.
    """
    scheduler = build_scheduler(generator.recipe)
    needs_code = _needs_code(generator.recipe)
    build = build_block_unet if needs_code else build_plain_unet
    pipeline = DDPMPipeline(unet=build(generator.network, generator.recipe), scheduler=scheduler)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    with explain_full_disk(out, lambda: 8 * sum(weight.numel() for weight in pipeline.unet.parameters())):
        pipeline.save_pretrained(temporary)
        if needs_code:
            _add_code(temporary)
        exported_sha256 = sha256_file(temporary / "unet" / "diffusion_pytorch_model.safetensors")
        facts = {
            "synthetic": True,
            "made_by": f"cspine-bench {package_version()}",
            "run_id": generator.run_id,
            "step": generator.step,
            "ema": generator.ema,
            "weights_sha256": generator.weights_sha256,
            "exported_sha256": exported_sha256,
            "recipe_sha256": generator.recipe.compute_sha256(),
            "recipe": generator.recipe.model_dump(mode="json"),
        }
        (temporary / PROVENANCE_NAME).write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
        (temporary / "README.md").write_text(_write_card(generator, facts))
    summary = ExportSummary(
        out, generator.run_id, generator.step, generator.ema, generator.weights_sha256, exported_sha256
    )
    if out.exists():
        same = _read_files(out) == _read_files(temporary)
        shutil.rmtree(temporary)
        if not same:
            raise DataError(f"{out}: holds something else than this export; choose another folder, or remove it")
        return summary
    sync_folder(temporary)
    move_into_place(temporary, out)
    return summary


def _read_files(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in folder.rglob("*") if path.is_file()}


@torch.no_grad()
def build_plain_unet(network: UnshuffledUNet, recipe: DdpmRecipe) -> UNet2DModel:
    """The network without conditions, as diffusers has it: blocks of pixels are its channels.

    Args:
        network: without convolutions over pixels.
        recipe: what it was trained by; another objective than flow-edm.

    Returns:
        A new `UNet2DModel`, in eval mode. On (B, unshuffle^2, S / unshuffle, S / unshuffle) and times in thousandths it
        says what `network` says of the image of those blocks, with every condition withheld.
    """
    config, weights = _withhold_conditions(network, recipe)
    unet = UNet2DModel.from_config(config)
    unet.load_state_dict(weights)
    unet.eval().requires_grad_(False)
    return unet


@torch.no_grad()
def build_block_unet(network: UnshuffledUNet, recipe: DdpmRecipe) -> BlockUNet:
    """The network without conditions, with all that is around its U-Net.

    Args:
        network: any.
        recipe: what it was trained by.

    Returns:
        A new `BlockUNet`, in eval mode. On (B, 1, S, S) and times in thousandths it says what `network` says with
        every condition withheld; for flow-edm, the velocity that this means.
    """
    config, weights = _withhold_conditions(network, recipe)
    unet = BlockUNet(
        unet_config=config,
        unshuffle=network.unshuffle,
        refine_channels=recipe.network.refine_channels,
        sigma_data=SIGMA_DATA if recipe.objective == "flow-edm" else None,
        sample_size=recipe.size,
    )
    unet.unet.load_state_dict(weights)
    if network.refine is not None:
        refine = {name: value.detach().cpu().clone() for name, value in network.refine.state_dict().items()}
        # The image's plane, then that of the map, then the hints.
        kept = [0, *range(network.in_channels, refine["0.weight"].shape[1])]
        refine["0.weight"] = refine["0.weight"][:, kept].contiguous()
        unet.refine.load_state_dict(refine)
    unet.eval().requires_grad_(False)
    built: BlockUNet = unet
    return built


def _needs_code(recipe: DdpmRecipe) -> bool:
    return recipe.network.refine_channels > 0 or recipe.objective == "flow-edm"


def _withhold_conditions(network: UnshuffledUNet, recipe: DdpmRecipe) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Configuration and weights of the U-Net that is told nothing."""
    planes = network.unshuffle**2
    changes = {"in_channels": planes, "num_class_embeds": None, "sample_size": recipe.size // network.unshuffle}
    # Its private keys name the defaults that a configuration left as they were, and would undo the changes.
    config = {name: value for name, value in network.unet.config.items() if not name.startswith("_")}
    weights = {name: value.detach().cpu().clone() for name, value in network.unet.state_dict().items()}
    # The image's planes come first, then those of the map.
    weights["conv_in.weight"] = weights["conv_in.weight"][:, :planes].contiguous()
    if (embedding := weights.pop("class_embedding.weight", None)) is not None:
        weights["time_embedding.linear_2.bias"] += embedding[NOT_TOLD]
    return {**config, **changes}, weights


def _add_code(folder: Path) -> None:
    """Put the model's code beside its weights, where `from_pretrained(..., trust_remote_code=True)` looks for it."""
    module = Path(block_unet.__file__)
    (folder / "unet" / module.name).write_bytes(module.read_bytes())
    index = folder / "model_index.json"
    parts = json.loads(index.read_text())
    parts["unet"] = [module.stem, BlockUNet.__name__]
    index.write_text(json.dumps(parts, indent=2) + "\n")


def build_scheduler(recipe: DdpmRecipe) -> DDPMScheduler | FlowMatchEulerDiscreteScheduler:
    """The scheduler of diffusers that walks a recipe's path.

    For v and epsilon, `alphas_cumprod[k]` is alpha^2 at the time k / 1000 that the network is told at step k; at k = 0
    it is that of half a step, for at alpha = 1 the scheduler would divide by 0. For flow, sigma is the time.

    Raises:
        RecipeError: the objective is edm.
    """
    if recipe.objective == "edm":
        raise RecipeError(
            "a generator of objective edm cannot be exported: DDPMPipeline neither scales a network's input by sigma "
            "nor combines its output with it, and both are part of edm; sample with `cspine-bench ddpm sample`, or "
            "train with objective flow or v"
        )
    if select_path(recipe) is FLOW:
        return FlowMatchEulerDiscreteScheduler(num_train_timesteps=_NUM_TRAIN_TIMESTEPS, shift=1.0)
    return DDPMScheduler(
        num_train_timesteps=_NUM_TRAIN_TIMESTEPS,
        trained_betas=_compute_betas(select_path(recipe)),
        prediction_type="v_prediction" if recipe.objective == "v" else "epsilon",
        variance_type="fixed_small",
        # As `predict_clean` does: an expected image lies between the darkest and the brightest one.
        clip_sample=True,
        clip_sample_range=1.0,
        timestep_spacing="trailing",
    )


def _compute_betas(path: NoisePath) -> list[float]:
    times = torch.arange(_NUM_TRAIN_TIMESTEPS, dtype=torch.float64) / _NUM_TRAIN_TIMESTEPS
    times[0] = 0.5 / _NUM_TRAIN_TIMESTEPS
    alphas_cumprod = path.alpha(times) ** 2
    before = torch.cat([torch.ones(1, dtype=torch.float64), alphas_cumprod[:-1]])
    betas: list[float] = (1 - alphas_cumprod / before).tolist()
    return betas


_CARD: Final = """---
library_name: diffusers
pipeline_tag: unconditional-image-generation
tags: [synthetic, radiography]
---

# Synthetic lateral cervical-spine radiographs

A diffusion model of {size} x {size} px, objective {objective}. What it makes is synthetic: not for diagnosis.

{use}

The pipeline is unconditional{withheld}. Its images carry no labels, no provenance and no mark of origin:
`cspine-bench ddpm sample` writes all three.

| | |
| --- | --- |
{rows}

The whole recipe is in `cspine_bench.json`.
"""


_USE_PLAIN: Final = """```python
import diffusers

pipeline = diffusers.DDPMPipeline.from_pretrained("this folder")
blocks = pipeline(batch_size=4, num_inference_steps={steps}, output_type="np").images
count, rows, columns, _ = blocks.shape
pictures = blocks.reshape(count, rows, columns, {side}, {side}).transpose(0, 1, 3, 2, 4)
pictures = pictures.reshape(count, rows * {side}, columns * {side})
```

The network works on blocks of {side} x {side} pixels. Each is a point with {channels} channels, which the last two
lines lay out as pixels, 0 (black) to 1 (white); {pil}."""

_USE_CODE: Final = """```python
import diffusers

pipeline = diffusers.DDPMPipeline.from_pretrained("this folder", trust_remote_code=True)
pictures = pipeline(batch_size=4, num_inference_steps={steps}).images
```

The code is `unet/block_unet.py`: a stock `UNet2DModel` on blocks of {side} x {side} pixels and what is around it. It
imports torch and diffusers."""


def _write_card(generator: Generator, facts: dict[str, Any]) -> str:
    recipe, side = generator.recipe, generator.recipe.network.unshuffle
    use = _USE_CODE if _needs_code(recipe) else _USE_PLAIN
    return _CARD.format(
        size=generator.size,
        objective=recipe.objective,
        use=use.format(
            steps=50 if select_path(recipe) is FLOW else _NUM_TRAIN_TIMESTEPS,
            side=side,
            channels=side**2,
            pil='`output_type="pil"` shows them as well'
            if side == 1
            else '`output_type="pil"` cannot show so many channels',
        ),
        withheld=": the map and the classes that the network can be told are withheld" if recipe.is_conditional else "",
        rows="\n".join(
            f"| {name} | `{value}` |" for name, value in facts.items() if name not in ("recipe", "synthetic")
        ),
    )


def describe_export(summary: ExportSummary) -> dict[str, Any]:
    """The summary as JSON values."""
    return {**asdict(summary), "path": str(summary.path)}
