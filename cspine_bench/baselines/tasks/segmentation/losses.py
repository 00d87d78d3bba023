"""The loss of label maps that do not tell of every level."""

import torch

SMOOTH = 1e-5
"""Keeps a soft Dice of next to no pixels finite, as in nnU-Net."""


def compute_marginal_loss(logits: torch.Tensor, masks: torch.Tensor, annotated: torch.Tensor) -> torch.Tensor:
    """Cross-entropy and soft Dice, in which what is not annotated is ignored.

    Where a radiograph's mask does not tell of a level, the label background means "none of the levels that it tells
    of": the probability of that label is the sum of background's own and of all levels not told of. So neither finding
    nor missing such a level costs anything, as long as it is found where no annotated level is. Soft Dice is taken over
    the annotated levels that occur in the batch, of all its pixels together.

    Args:
        logits: float (B, 1 + L, S, S), background first.
        masks: integers (B, S, S), 0..L; a pixel with a higher value is ignored.
        annotated: bool (B, L), which levels each mask tells of.

    Returns:
        Mean cross-entropy + 1 - mean soft Dice, a scalar.

    Source: marginal loss, Shi et al. 2021 (2007.03868, Medical Image Analysis 70, 101979); soft Dice over the batch and
    its sum with cross-entropy, Isensee et al. 2021 (nnU-Net), Nature Methods 18, 203-211.
    """
    log_shares = logits.float().log_softmax(dim=1)
    levels = annotated.shape[1]
    known = (masks >= 0) & (masks <= levels)
    told = torch.nn.functional.pad(annotated, (1, 0), value=False)
    labels = torch.where(known, masks, 0)
    if bool(annotated.all()):
        rest = log_shares[:, 0]
    else:
        # A label that is not told of is part of background.
        labels = torch.where(torch.gather(told, 1, labels.flatten(1)).view_as(labels), labels, 0)
        rest = log_shares.masked_fill(told[:, :, None, None], -torch.inf).logsumexp(dim=1)
    chosen = torch.where(labels == 0, rest, log_shares.gather(1, labels[:, None])[:, 0])
    entropy = -(chosen * known).sum() / known.sum().clamp(min=1)
    # Sums over the pixels of each level that is told of: of its probability, and of that where it is the label.
    ours = torch.einsum("bchw,bhw,bc->c", log_shares.exp(), known.to(log_shares.dtype), told.to(log_shares.dtype))[1:]
    flat = labels.flatten()
    both = log_shares.new_zeros(levels + 1).index_add(0, flat, (chosen.exp() * known).flatten())[1:]
    theirs = torch.bincount(flat, minlength=levels + 1)[1:]
    soft = (2 * both + SMOOTH) / (ours + theirs + SMOOTH)
    occurs = theirs > 0
    missing = ((1 - soft) * occurs).sum() / occurs.sum().clamp(min=1)
    loss: torch.Tensor = entropy + missing
    return loss
