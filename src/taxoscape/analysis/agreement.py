"""How far zones agree with a truth that they have never seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taxoscape.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt


def agreement(labels: npt.NDArray[Any], truth: npt.NDArray[Any]) -> dict[str, float]:
    """Compare zones with a truth on the tiles that have both.

    Parameters
    ----------
    labels
        Integer (tile,), zone of each tile, 0 = none.
    truth
        Integer (tile,), true class of each tile, 0 = none.

    Returns
    -------
    ``nmi``: normalised mutual information (arithmetic mean of the entropies); ``ari``: adjusted Rand index;
    ``purity``: share of tiles whose class is the commonest of their zone; ``n_tiles``: tiles compared.

    Raises
    ------
    InputError
        Where no tile has both.

    Notes
    -----
    NMI and ARI are scikit-learn's. Purity grows with the number of zones; compare it only at one K.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    both = (labels > 0) & (truth != 0)
    if not both.any():
        raise InputError(
            "no tile has both a zone and a label: see whether the label raster covers the region, whether its classes "
            "are other than 0, and lower --min-share"
        )
    zone, label = labels[both], truth[both]
    table = contingency_matrix(label, zone)
    return {
        "nmi": float(normalized_mutual_info_score(label, zone)),
        "ari": float(adjusted_rand_score(label, zone)),
        "purity": float(table.max(axis=0).sum() / table.sum()),
        "n_tiles": int(both.sum()),
    }
