"""A stack of machines unrolled into dense layers: what goes up is a perceptron's hidden layers, and, turned round, an autoencoder.

Hinton & Salakhutdinov (2006), https://doi.org/10.1126/science.1127647
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from chainrule.core.text import natural

BIAS = ".visible_bias"


def unrolled(tensors: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """The weights of machines, lowest first, under the names that the dense layers of `module` have; empty where they do not fit it.

    Each machine goes into the dense layer at its place, without the units for classes that the highest may have; of a net of twice as many
    dense layers the second half comes back by the same weights, turned round, or by those that generate, where the machines have such.
    """
    named = (name.removesuffix(BIAS).removesuffix(BIAS[1:]) for name in tensors if name == BIAS[1:] or name.endswith(BIAS))
    machines = sorted(named, key=natural)
    dense = [(name, one) for name, one in module.named_modules() if isinstance(one, nn.Linear)]
    if not machines or len(dense) < len(machines) or any(name in tensors for name, _ in module.named_parameters()):
        return {}
    taken: dict[str, Tensor] = {}
    for k, machine in enumerate(machines):
        own = {part: tensors.get(f"{machine}.{part}" if machine else part) for part in ("weight", "hidden_bias", "visible_bias")}
        if (weight := own["weight"]) is None or (bias := own["hidden_bias"]) is None or (below := own["visible_bias"]) is None:
            return {}
        name, layer = dense[k]
        taken |= {f"{name}.weight": weight[:, : layer.in_features], f"{name}.bias": bias}
        if len(dense) == 2 * len(machines):
            back = tensors.get(f"generative.{k}", weight)
            there, mirror = dense[-1 - k]
            taken |= {f"{there}.weight": back[:, : mirror.out_features].T.contiguous(), f"{there}.bias": below[: mirror.out_features]}
    return taken
