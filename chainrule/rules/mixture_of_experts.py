"""Competition among experts: Jacobs, Jordan, Nowlan & Hinton (1991), https://doi.org/10.1162/neco.1991.3.1.79"""

from __future__ import annotations

from torch import Tensor

from chainrule.core.abilities.nets import HasJoint
from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import value_and_grad


@rule(source="Jacobs, Jordan, Nowlan & Hinton (1991), https://doi.org/10.1162/neco.1991.3.1.79", nets=("expert-values", "experts"),
      additive=())
def competing(net: Net, batch: Batch) -> tuple[dict[str, Tensor], Report]:
    """The gradient of minus the log of the mixture's likelihood, in which an expert is taught by the share of a sample that is its own.

    That share is its responsibility g_i p_i(y) / sum_j g_j p_j(y), so that the expert nearest to a target is pulled most. Raises
    InputError for a net that is no mixture of experts.
    """
    if not isinstance(net.module, HasJoint):
        raise InputError(f"competing trains mixtures of experts; {type(net.module).__name__} is none. Use --net experts for classes, "
                         "--net expert-values for numbers, or --rule backprop.")

    def objective(net: Net, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return batch.mean(-net.call("joint", batch.x, batch.y).logsumexp(1)), {}

    value, _, slope = value_and_grad(objective, net, batch)
    return slope, {"loss": value}
