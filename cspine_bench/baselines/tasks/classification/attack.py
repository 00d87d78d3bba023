"""Small changes of single pixels that a classifier fails on."""

from collections.abc import Callable

import torch

Classify = Callable[[torch.Tensor], torch.Tensor]
"""From images, float (B, ...), to the evidence for each class, float (B, C)."""

GRAY_LEVELS = 255
"""That epsilon is counted in; images span -1..1."""


def find_worst_images(
    classify: Classify,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    epsilon: float,
    steps: int,
    step_size: float,
    starts: torch.Tensor | None = None,
) -> torch.Tensor:
    """Images near the given ones that a classifier does worst on: projected gradient ascent on its loss.

    The loss is the log odds against the true class. Its gradient has the direction of that of the cross-entropy, and
    does not round to zero where the classifier is sure, which would only seem to be robustness (Carlini, Wagner 2017,
    1608.04644, section V).

    Of all that it meets, the images themselves among them, it gives a misclassified one before one that is classified
    rightly, and of either the one with the greatest loss. So an attack never makes a classifier look better.

    Args:
        classify: differentiable; its weights need no gradients.
        images: float (B, ...), -1..1.
        labels: int64 (B,), true classes.
        epsilon: largest change of a pixel, in gray levels of 255.
        steps: of the ascent.
        step_size: change of every pixel in a step, in gray levels of 255.
        starts: of the shape of the images, -1..1, where the ascent starts, in shares of epsilon; None: at the images.

    Returns:
        Of the shape of the images, within epsilon of them and in -1..1, without gradients.

    Source: Madry et al. 2018 (1706.06083), section 2; in the l-infinity ball, by the sign of the gradient.
    """
    reach, step = 2 * epsilon / GRAY_LEVELS, 2 * step_size / GRAY_LEVELS
    images = images.detach()
    low, high = (images - reach).clamp(min=-1), (images + reach).clamp(max=1)
    worst, worst_loss = images.clone(), torch.full((len(images),), -torch.inf, device=images.device)
    worst_wrong = torch.zeros(len(images), dtype=torch.bool, device=images.device)

    def look_at(changed: torch.Tensor, evidence: torch.Tensor, loss: torch.Tensor) -> None:
        wrong = evidence.argmax(dim=1) != labels
        better = (wrong & ~worst_wrong) | ((wrong == worst_wrong) & (loss > worst_loss))
        worst[better], worst_loss[better], worst_wrong[better] = changed[better], loss[better], wrong[better]

    with torch.enable_grad():
        look_at(images, *_measure(classify, images, labels))
        changed = images if starts is None else torch.clamp(images + reach * starts, low, high)
        for _ in range(steps):
            changed = changed.detach().requires_grad_(True)
            evidence, loss = _measure(classify, changed, labels, keep_graph=True)
            (gradient,) = torch.autograd.grad(loss.sum(), changed)
            look_at(changed.detach(), evidence.detach(), loss.detach())
            changed = torch.clamp(changed.detach() + step * gradient.sign(), low, high)
        look_at(changed, *_measure(classify, changed, labels))
    return worst


def _measure(
    classify: Classify, images: torch.Tensor, labels: torch.Tensor, *, keep_graph: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Evidence (B, C), and the log odds against the true class (B,)."""
    with torch.set_grad_enabled(keep_graph):
        evidence = classify(images).float()
        return evidence, -find_log_odds(evidence, labels)


def find_log_odds(evidence: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Log odds of a class of each radiograph: its evidence against that for all others together.

    Args:
        evidence: float (B, C), C at least 2.
        labels: int64 (B,), the class.

    Returns:
        float (B,).
    """
    others = evidence.scatter(1, labels[:, None], -torch.inf)
    odds: torch.Tensor = evidence.gather(1, labels[:, None])[:, 0] - others.logsumexp(dim=1)
    return odds
