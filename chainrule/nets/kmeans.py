"""k-means as a net of one layer whose units compete: MacQueen (1967); Lloyd (1982), https://doi.org/10.1109/TIT.1982.1056489"""

from __future__ import annotations

from typing import Literal

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.prototypes import Prototypes


@nets("kmeans", source="MacQueen (1967), Proc. 5th Berkeley Symposium 1:281; Lloyd (1982), https://doi.org/10.1109/TIT.1982.1056489",
      rule="lloyd", init="spread", kind="memory", tasks=("reconstruction",))
class KMeans(Prototypes):
    """So many clusters, each with its centre: (n, ...) -> the nearest centre (n, d).

    Codes are a 1 in the column of the cluster, or the distances (n, clusters) to all centres.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, clusters: int = 10, code: Literal["one-hot", "distances"] = "one-hot"):
        if clusters < 1:
            raise InputError(f"kmeans needs at least one cluster; got clusters={clusters}. Write kmeans:clusters=10.")
        super().__init__(inputs, clusters, code)
