"""The synthetic images beside their nearest films: as rows of a table, and as the pairs that a page shows."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cspine_bench.evaluate.memorization.encoder_neighbours import EncoderNeighbours
from cspine_bench.evaluate.memorization.search import CopySearch
from cspine_bench.evaluate.page.records import Pair
from cspine_bench.measurement.inputs import Images
from cspine_bench.metrics.registration import describe_move

_WHOLE: Final = "whole"


def order_by_suspicion(search: CopySearch) -> NDArray[np.int64]:
    """Rows of the synthetic images: confirmed copies first, then by rising p value."""
    side = search.synthetic
    keys = (side.judgement.p_value, side.judgement.tail_p_value, ~side.confirmed)
    return np.lexsort(keys).astype(np.int64)


def build_rows(search: CopySearch, neighbours: tuple[EncoderNeighbours, ...]) -> pa.Table:
    """A row for each synthetic image, in order.

    Columns: `sample_id`; `nearest_train_id`, `similarity` (absolute correlation, 0..1), `ratio` (its distance over that
    of the usual near films), `channel` (how it was found), `move` (what was done to the film); `nearest_holdout_id`,
    `holdout_similarity`; `score`, `p_value` (conformal), `q_value`, `tail_p_value` (extrapolated), `tail_q_value`;
    `registered_correlation` (null: not registered); `listed`, `beyond_holdout`, `confirmed`. Of each encoder E:
    `E.nearest_train_id`, `E.distance`, `E.holdout_distance`, `E.ratio`, `E.p_value`, `E.q_value`.
    """
    side = search.synthetic
    rows = np.arange(len(side.sample_ids))
    channel = side.judgement.channel
    columns: dict[str, Any] = {
        "sample_id": side.sample_ids,
        "nearest_train_id": [search.train_ids[index] for index in side.nearest.index[rows, channel]],
        "similarity": side.nearest.similarity[rows, channel],
        "ratio": side.nearest.ratio[rows, channel],
        "channel": [search.channels[number].name for number in channel],
        "move": [describe_move(move) for move in side.nearest.moves[rows, channel]],
    }
    if side.to_holdout is not None:
        columns["nearest_holdout_id"] = [search.holdout_ids[index] for index in side.to_holdout.index[rows, channel]]
        columns["holdout_similarity"] = side.to_holdout.similarity[rows, channel]
    columns |= {
        "score": side.judgement.score,
        "p_value": side.judgement.p_value,
        "q_value": side.q_value,
        "tail_p_value": side.judgement.tail_p_value,
        "tail_q_value": side.tail_q_value,
        "registered_correlation": pa.array(side.registered, mask=np.isnan(side.registered)),
        "listed": side.listed,
        "beyond_holdout": side.beyond,
        "confirmed": side.confirmed,
    }
    for found in neighbours:
        columns |= {
            f"{found.space}.nearest_train_id": [search.train_ids[index] for index in found.train_index],
            f"{found.space}.distance": found.train_distance,
            f"{found.space}.holdout_distance": found.holdout_distance,
            f"{found.space}.ratio": found.ratio,
            f"{found.space}.p_value": found.p_value,
            f"{found.space}.q_value": found.adjusted_p_value,
        }
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def collect_pairs(search: CopySearch, train: Images, holdout: Images, synthetic: Images, *, count: int) -> list[Pair]:
    """The most suspicious pairs with their pixels.

    Args:
        search: of these sides.
        train: training films.
        holdout: films held out.
        synthetic: synthetic images.
        count: most pairs; confirmed copies beyond it are left out too, and the table of rows has them all.
    """
    side = search.synthetic
    chosen = order_by_suspicion(search)[:count]
    channel = side.judgement.channel[chosen]
    train_ids = [search.train_ids[index] for index in side.nearest.index[chosen, channel]]
    holdout_ids: list[str | None] = [None] * len(chosen)
    if side.to_holdout is not None:
        holdout_ids = [search.holdout_ids[index] for index in side.to_holdout.index[chosen, channel]]
    films = train.take_images(train_ids)
    others = holdout.take_images([name for name in holdout_ids if name is not None])
    images = synthetic.take_images([side.sample_ids[row] for row in chosen])
    pairs = []
    for row, way, train_id, holdout_id in zip(chosen, channel, train_ids, holdout_ids, strict=True):
        region = search.channels[way].region
        name = side.sample_ids[row]
        far = None if side.to_holdout is None else float(side.to_holdout.similarity[row, way])
        pairs.append(
            Pair(
                sample_id=name,
                train_id=train_id,
                holdout_id=holdout_id,
                synthetic=images[name],
                train=films[train_id],
                holdout=None if holdout_id is None else others[holdout_id],
                similarity=float(side.nearest.similarity[row, way]),
                holdout_similarity=far,
                p_value=float(side.judgement.p_value[row]),
                q_value=float(side.q_value[row]),
                tail_p_value=float(side.judgement.tail_p_value[row]) if search.null.extrapolates else None,
                move=side.nearest.moves[row, way],
                confirmed=bool(side.confirmed[row]),
                listed=bool(side.listed[row]),
                region="" if region == _WHOLE else region,
            )
        )
    return pairs
