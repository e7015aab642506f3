"""Autoencoders: a code through which the inputs pass. Rumelhart, Hinton & Williams (1986); Baldi & Hornik (1989),
https://doi.org/10.1016/0893-6080(89)90014-2 (a linear one spans the principal components); Ng (2011), "Sparse autoencoder", CS294A
(few units on: KL); Makhzani & Frey (2015), https://arxiv.org/abs/1409.2752 (winner-take-all); Rifai, Vincent, Muller, Glorot & Bengio
(2011), https://icml.cc/2011/papers/455_icmlpaper.pdf (contractive); Masci, Meier, Ciresan & Schmidhuber (2011),
https://doi.org/10.1007/978-3-642-21735-7_7 (convolutional)
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import make_activation
from chainrule.nets.layers.corruption import Corruption, Kind
from chainrule.nets.layers.dense import Dense, Transposed, check_widths, stack

MAPS = (16, 32)             # of the layers of a convolutional one where none are named
KERNEL, STRIDE = 3, 2
TOGETHER = ("softmax", "maxout")  # units that are functions of several: their slope is no number each
Units = Literal["auto", "identity", "sigmoid", "tanh", "relu", "softplus"]
Sparsity = Literal["none", "l1", "kl", "winner"]


@nets("autoencoder", source="Rumelhart, Hinton & Williams (1986), https://doi.org/10.1038/323533a0", init="xavier",
      tasks=("reconstruction",))
class Autoencoder(nn.Module):
    """An encoder to `code` units and a decoder of the same hidden layers in reverse: (n, *inputs) -> (n, inputs).

    Without hidden layers both are linear, and the code spans the first principal components. `units` are those of the code: `auto` takes
    identity, where `sparse` is kl or the net is contractive sigmoid, and relu for the other ways to be sparse. `tied` decodes by the
    encoder's weights, transposed. `sparse` has a cost of `penalty` times: the sizes of the code (l1), or the divergence of each unit's mean
    over the batch from `rho` (kl); with `winner` a unit is on in training for the share `rho` of a batch alone that drives it most.
    `noise` is how much inputs are spoilt in training, by `corruption`. `contractive` times the squared slopes of the code by the inputs is
    a cost too. A `convolutional` one has maps in place of units in its hidden layers, of half the size each, for pictures of any size.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, hidden: tuple[int, ...] = (), code: int = 10, activation: str = "sigmoid",
                 units: Units = "auto", tied: bool = False, sparse: Sparsity = "none", rho: float = 0.05, penalty: float = 0.1,
                 noise: float = 0.0, corruption: Kind = "masking", contractive: float = 0.0, convolutional: bool = False):
        super().__init__()
        check_widths("autoencoder", hidden, code)
        unit = units if units != "auto" else "sigmoid" if sparse == "kl" or contractive else "relu" if sparse != "none" else "identity"
        _check(inputs, outputs, activation, unit, tied, sparse, rho, penalty, contractive, convolutional)
        self.sparse, self.rho, self.penalty, self.contractive = sparse, rho, penalty, contractive
        self.corruption = Corruption(noise, corruption)
        make = _convolutional if convolutional else _dense
        encoder, decoder = make(inputs, outputs, hidden, code, activation, tied)
        self.encoder = nn.Sequential(*encoder, *([] if unit == "identity" else [make_activation(unit)]))
        self.decoder = nn.Sequential(*decoder)
        self.batchwise = sparse in ("kl", "winner")

    def encode(self, x: Tensor) -> Tensor:
        """Codes (n, code)."""
        codes: Tensor = self.encoder(x)
        return codes

    def decode(self, code: Tensor) -> Tensor:
        """Reconstructions (n, inputs) of codes (n, code)."""
        rows: Tensor = self.decoder(code)
        return rows

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self._training_code(x))

    def with_costs(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstructions (n, inputs), and what codes cost beside them, (n,) by name: `sparsity` and `contraction`, where asked for."""
        code, costs = self._training_code(x), dict[str, Tensor]()
        if self.sparse == "l1":
            costs["sparsity"] = self.penalty * code.abs().sum(1)
        if self.sparse == "kl":
            costs["sparsity"] = self.penalty * divergence_of_shares(self.rho, code.mean(0)).sum().expand(len(code))
        if self.contractive:
            costs["contraction"] = self.contractive * self.contraction(x)
        return self.decode(code), costs

    def contraction(self, x: Tensor) -> Tensor:
        """The squared Frobenius norm of the Jacobian of the codes by the inputs, of each row (n,): the product of the layers', exactly."""
        h, weights, slopes = x.flatten(1), list[Tensor](), list[Tensor]()
        for layer in self.encoder:
            if isinstance(layer, nn.Linear):
                weights.append(layer.weight)
                h = layer(h)
            else:
                both = torch.func.jvp(layer, (h,), (torch.ones_like(h),))            # elementwise: the slope of each unit, (n, units)
                h = both[0]
                slopes.append(both[1])
        above = weights[-1][None]                                                   # (1 or n, code, units of the layer below)
        if len(slopes) == len(weights):
            above = slopes.pop()[:, :, None] * above
        for slope, weight in zip(slopes[::-1], weights[-2::-1], strict=True):
            above = above * slope[:, None, :]                                       # (n, code, units)
            if weight is weights[0] and weight.shape[0] < weight.shape[1]:          # |a W|^2 = a W W' a': nothing as wide as the inputs
                return torch.einsum("ncu,uv,ncv->n", above, weight @ weight.T, above)
            above = above @ weight
        return above.square().sum((1, 2)).expand(len(x))

    def _training_code(self, x: Tensor) -> Tensor:
        """Codes (n, code) as training has them: of spoilt inputs, and of winners alone. In use, those of `encode`."""
        code = self.encode(self.corruption(x))
        return winners(code, self.rho) if self.training and self.sparse == "winner" else code


def winners(code: Tensor, share: float) -> Tensor:
    """Codes (n, code) where each unit keeps the share of the batch that drives it most, one row at least, and is zero elsewhere.

    Lifetime sparsity: Makhzani & Frey (2015), https://arxiv.org/abs/1409.2752, section 2.
    """
    strongest = code.topk(max(1, round(share * len(code))), 0).indices               # (k, code)
    return code * torch.zeros_like(code).scatter(0, strongest, 1.0)


def divergence_of_shares(rho: float, mean: Tensor) -> Tensor:
    """KL(Bernoulli(rho) || Bernoulli(mean)) of each unit's mean (units,), in nats: Ng (2011), "Sparse autoencoder", section 3."""
    mean = mean.clamp(1e-7, 1 - 1e-7)
    return rho * (math.log(rho) - mean.log()) + (1 - rho) * (math.log1p(-rho) - (-mean).log1p())


def _dense(inputs: tuple[int, ...], outputs: int, hidden: tuple[int, ...], code: int, activation: str,
           tied: bool) -> tuple[list[nn.Module], list[nn.Module]]:
    """Layers of an encoder and of a decoder."""
    encoder = list(stack(math.prod(inputs), hidden, code, activation))
    if not tied:
        return encoder, list(stack(code, hidden[::-1], outputs, activation))
    decoder: list[nn.Module] = []
    for layer in encoder[::-1]:
        decoder += [Transposed(layer), make_activation(activation)] if isinstance(layer, nn.Linear) else []
    return encoder, decoder[:-1]


def _convolutional(inputs: tuple[int, ...], outputs: int, hidden: tuple[int, ...], code: int, activation: str,
                   tied: bool) -> tuple[list[nn.Module], list[nn.Module]]:
    """Layers of an encoder that halves pictures (channels, height, width) and of a decoder that undoes it, to the pixel."""
    channels, *size = inputs
    encoder: list[nn.Module] = []
    decoder: list[nn.Module] = [nn.Flatten()]
    for maps in hidden or MAPS:
        layer = nn.Conv2d(channels, maps, KERNEL, STRIDE, padding=1)
        even = [1 - side % STRIDE for side in size]                                  # a side that was even lacks a pixel
        back = nn.ConvTranspose2d(maps, channels, KERNEL, STRIDE, padding=1, output_padding=(even[0], even[1]))
        if tied:
            back.weight = layer.weight
        encoder += [layer, make_activation(activation)]
        decoder = [back, *([make_activation(activation)] if channels != inputs[0] or len(decoder) > 1 else []), *decoder]
        channels, size = maps, [-(-side // STRIDE) for side in size]
    flat = channels * size[0] * size[1]
    to_code = Dense((flat,), code)
    encoder += [nn.Flatten(), to_code]
    back_from_code = Transposed(to_code) if tied else Dense((code,), flat)
    return encoder, [back_from_code, make_activation(activation), nn.Unflatten(1, (channels, *size)), *decoder]


def _check(inputs: tuple[int, ...], outputs: int, activation: str, unit: str, tied: bool, sparse: str, rho: float, penalty: float,
           contractive: float, convolutional: bool) -> None:
    """Raises InputError for options that do not go together."""
    if (tied or convolutional) and outputs != math.prod(inputs):
        raise InputError(f"A tied or convolutional autoencoder gives as many numbers as it reads, {math.prod(inputs)}; {outputs} are asked "
                         "for. Use tied=no,convolutional=no.")
    if convolutional and len(inputs) != 3:
        raise InputError(f"convolutional=yes reads pictures (channels, height, width); got inputs of shape {inputs}. Leave it out.")
    if (tied or convolutional) and activation == "maxout":
        raise InputError("A layer of maxout is read by half as many units as it has, so that it is neither tied nor turned round; got "
                         "activation=maxout. Use activation=relu.")
    if contractive and (convolutional or activation in TOGETHER):
        raise InputError("contractive is computed for dense layers whose units each have a slope of their own; got "
                         f"{'convolutional=yes' if convolutional else 'activation=' + activation}. Use e.g. activation=sigmoid.")
    if contractive < 0 or penalty < 0:
        raise InputError(f"autoencoder expects contractive and penalty to be at least 0; got contractive={contractive}, "
                         f"penalty={penalty}. Write e.g. autoencoder:contractive=0.1.")
    if not 0 < rho < 1:
        raise InputError(f"autoencoder expects rho, the share of rows for which a unit is on, to be above 0 and below 1; got {rho}. Write "
                         "e.g. autoencoder:sparse=kl,rho=0.05.")
    if sparse == "kl" and unit != "sigmoid":
        raise InputError(f"sparse=kl takes the mean of a unit for the share of rows for which it is on; got units={unit}. Use "
                         "units=sigmoid.")
