"""The learned generator: a diffusion model of radiographs, trained on a dataset folder and sampled into one."""
