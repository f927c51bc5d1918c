"""Measures of order: AUC, average precision, GAUC, XAUC. Arrays in, arrays out.

Shape letters: R replicates (all rows first, then without each group), B bins by rising score,
G jackknife groups, N rows.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_BLOCK = 512


def auc(negatives: Array, positives: Array) -> Array:
    """(R,) areas under the ROC curve from the weights (R, B) of either class.

    An AUC is the chance that a positive row scores above a negative one; rows of one bin are ties
    and count half. NaN where a class has no weight.
    """
    below = np.cumsum(negatives, axis=1) - negatives
    won = np.sum(positives * (below + negatives / 2), axis=1)
    return ratio(won, negatives.sum(axis=1) * positives.sum(axis=1))


def average_precision(negatives: Array, positives: Array) -> Array:
    """(R,) areas under the precision-recall curve from the weights (R, B) of either class.

    An area is the mean precision at the scores of positive rows: steps and no interpolation, as
    scikit-learn's `average_precision_score`. NaN where no row is positive.
    """
    true = np.cumsum(positives[:, ::-1], axis=1)
    false = np.cumsum(negatives[:, ::-1], axis=1)
    gained = np.sum(positives[:, ::-1] * ratio(true, true + false, 0.0), axis=1)
    return ratio(gained, true[:, -1])


def gauc_sums(
    units: npt.NDArray[np.uint64],
    groups: npt.NDArray[np.int64],
    num_groups: int,
    labels: npt.NDArray[np.bool_],
    weights: Array,
    scores: npt.NDArray[np.floating],
) -> Array:
    """Sums (G, 2) whose ratio is GAUC: weight times AUC over units, and weight.

    Units with one class only are left out. Zhu et al., "Optimized Cost per Click in Taobao Display
    Advertising", KDD 2017, section 4.1.

    Args:
        units: (N,), equal where rows belong together.
        groups: (N,) in [0, G), the same for all rows of a unit.
        num_groups: G.
        labels: (N,).
        weights: (N,).
        scores: (N,), exact: equal scores of a unit are ties and count half.
    """
    if not len(units):
        return np.zeros((num_groups, 2))
    order = np.lexsort((scores, units))
    units, scores = units[order], scores[order]
    new_unit = np.concatenate([[True], units[1:] != units[:-1]])
    new_score = new_unit | np.concatenate([[True], scores[1:] != scores[:-1]])
    tie = np.cumsum(new_score) - 1
    unit_of_tie = (np.cumsum(new_unit) - 1)[new_score]
    labels, weights = labels[order], weights[order]
    positives = np.bincount(tie, weights * labels)
    negatives = np.bincount(tie, weights * ~labels)

    all_positives = np.bincount(unit_of_tie, positives)
    all_negatives = np.bincount(unit_of_tie, negatives)
    below = np.cumsum(negatives) - negatives
    below -= below[np.flatnonzero(new_unit[new_score])][unit_of_tie]
    won = np.bincount(unit_of_tie, positives * (below + negatives / 2))
    unit_weight = all_positives + all_negatives
    both = (all_positives > 0) & (all_negatives > 0)
    weighted = unit_weight[both] * won[both] / (all_positives * all_negatives)[both]
    group = groups[order][new_unit][both]
    return np.stack(
        [
            np.bincount(group, weighted, num_groups),
            np.bincount(group, unit_weight[both], num_groups),
        ],
        axis=1,
    )


def xauc_sums(
    groups: npt.NDArray[np.int64], num_groups: int, labels: Array, weights: Array, scores: Array
) -> Array:
    """Sums (G, G, 2) over pairs of rows by their groups, whose ratio is XAUC.

    The numerator is the weight of pairs whose predictions have the order of their labels, equal
    predictions counting half; the denominator the weight of pairs whose labels differ. Every pair
    counts once.
    """
    order = np.argsort(labels, kind="stable")
    labels, weights, groups = labels[order], weights[order], groups[order]
    scores = scores[order].astype(np.float32)
    # Row i is the longer one of its pairs with the rows 0 to lower[i] - 1.
    lower = np.searchsorted(labels, labels)
    weight_by_group = np.zeros((len(labels), num_groups))
    weight_by_group[np.arange(len(labels)), groups] = weights
    shorter = np.concatenate([np.zeros((1, num_groups)), np.cumsum(weight_by_group, axis=0)])
    sums = np.zeros((num_groups, num_groups, 2))
    sums[..., 1] = weight_by_group.T @ shorter[lower]
    narrow = weight_by_group.astype(np.float32)
    for start in range(0, len(labels), _BLOCK):
        block = slice(start, start + _BLOCK)
        first, last = lower[block][0], lower[block][-1]
        score, others = scores[block, None], scores[:last]
        twice = (score > others).astype(np.float32) + (score >= others)
        twice[:, first:] *= np.arange(first, last) < lower[block, None]
        sums[..., 0] += weight_by_group[block].T @ (twice @ narrow[:last]) / 2
    return sums


def ratio(above: Array, below: Array, otherwise: float = np.nan) -> Array:
    """`above / below`, and `otherwise` where `below` is not above 0."""
    result = np.full(np.broadcast(above, below).shape, otherwise)
    return np.divide(above, below, out=result, where=below > 0)
