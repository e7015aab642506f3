"""Initial weights by name, each a distribution for tensors of two or more axes; biases start at zero unless asked otherwise.

Fan-in and fan-out are counted as in Glorot & Bengio (2010), PMLR 9:249: a convolution's include the area of its kernel, and those of
gates whose weights lie one below the other are of each gate alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import init

from chainrule.core.errors import InputError
from chainrule.core.registry import Chosen, inits
from chainrule.core.traits import InitTraits
from chainrule.nets.layers.activation import ACTIVATIONS, Maxout, ScaledTanh
from chainrule.nets.layers.recurrent import Gated, Recurrence

Fill = Callable[[Tensor], Tensor]
RECTIFIED = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.Softplus, nn.GELU, nn.SiLU, Maxout)
GATES = {nn.LSTM: 4, nn.LSTMCell: 4, nn.GRU: 3, nn.GRUCell: 3, nn.RNN: 1, nn.RNNCell: 1}
LIBRARY = (nn.RNNBase, nn.RNNCellBase)


@dataclass(frozen=True)
class Init:
    """`weight` fills a tensor of two or more axes in place; biases are drawn from N(0, `biases`^2).

    `after`, where there is one, takes the place of `weight`: it is given the activation that reads the layer, or None. `recurrent` does
    for the weights by which a layer reads itself, and `driving` for those by which it reads what is below. Weights of several gates are
    filled gate by gate. `fit` goes over the filled module once more, with rows (n, ...) as the net reads them; its registration says
    `reads_data=True`.
    """

    weight: Fill
    biases: float = 0.0
    after: Callable[[nn.Module | None], Fill] | None = None
    recurrent: Fill | None = None
    driving: Fill | None = None
    fit: Callable[[nn.Module, Tensor], None] | None = None


@torch.no_grad()
def initialise(module: nn.Module, chosen: Chosen[InitTraits], rows: Tensor | None = None) -> None:
    """Fill every weight of two or more axes, and every bias, in place and in order; seed torch first to repeat it.

    Other tensors of one axis (the gains of a normalisation, say) keep what the module gave them, and biases that a recurrent layer starts
    higher than others are raised by as much again. `rows` (n, ...) are training rows, ready for the net, for an init that reads some.
    Raises InputError where it does and they are missing or do not fit, and for one of recurrent weights where there are none.
    """
    start: Init = chosen.make()
    readers = followers(module) if start.after else {}
    weights = recurrent_weights(module)
    if start.recurrent is not None and not any(weight.recurs for weight in weights.values()):
        raise InputError(f"{chosen.entry.name} sets the weights by which a layer reads itself, and {type(module).__name__} has none. Use "
                         "--net rnn, or another --init.")
    for name, p in module.named_parameters():
        if p.dim() >= 2:
            own = weights.get(name)
            special = None if own is None else start.recurrent if own.recurs else start.driving
            fill = special or (start.after(readers[name]) if start.after else start.weight)
            for block in p.chunk(1 if own is None else own.gates):
                fill(block)
        elif is_bias(name):
            init.normal_(p, std=start.biases) if start.biases else init.zeros_(p)
    for part in module.modules():
        if isinstance(part, Recurrence):
            part.lift_biases()
    if start.fit is None:
        return
    if rows is None or len(rows) < 2:
        raise InputError(f"{chosen.entry.name} sets weights by what the net makes of training rows, and needs at least two of them. "
                         "Give initialise its `rows`, or use he or xavier.")
    try:
        start.fit(module, rows)
    except (RuntimeError, ValueError, IndexError, TypeError, AttributeError) as error:
        raise InputError(f"{chosen.entry.name} could not run {type(module).__name__} on training rows of shape {tuple(rows.shape[1:])} "
                         f"({str(error).splitlines()[0]}). Check --net against the data, or use he.") from None


@dataclass(frozen=True)
class RecurrentWeight:
    """How many gates a weight has, one below the other, and whether a layer reads itself by it."""

    gates: int
    recurs: bool


def recurrent_weights(module: nn.Module) -> dict[str, RecurrentWeight]:
    """The weights of recurrent layers by name, those of torch's own among them; its projections have no gates."""
    weights: dict[str, RecurrentWeight] = {}
    for path, part in module.named_modules():
        if isinstance(part, Recurrence):
            for layer, recurs in (("reads", False), ("recurs", True)):
                gated = part.get_submodule(layer)
                assert isinstance(gated, Gated)
                weights[f"{path}.{layer}.weight" if path else f"{layer}.weight"] = RecurrentWeight(gated.gates, recurs)
        elif isinstance(part, LIBRARY):
            gates = next((count for kind, count in GATES.items() if isinstance(part, kind)), 1)
            for name, _ in part.named_parameters(recurse=False):
                if name.startswith(("weight_ih", "weight_hh")):
                    weights[f"{path}.{name}" if path else name] = RecurrentWeight(gates, name.startswith("weight_hh"))
    return weights


def is_bias(name: str) -> bool:
    """Whether a parameter is a bias by its name, as torch's recurrent layers call theirs too: `bias_ih_l0`."""
    last = name.rpartition(".")[2]
    return last.endswith("bias") or last.startswith("bias_")


def followers(module: nn.Module) -> dict[str, nn.Module | None]:
    """For each weight the activation that reads its layer: the next one registered before any further weights, or None.

    An activation called as a function, not as a module, cannot be seen here.
    """
    kinds = tuple({type(make()) for make in ACTIVATIONS.values()} - {nn.Identity})
    following: dict[str, nn.Module | None] = {}
    waiting: list[str] = []
    for path, part in module.named_modules():
        own = [f"{path}.{name}" if path else name for name, p in part.named_parameters(recurse=False) if p.dim() >= 2]
        if own:
            waiting = own
            following |= dict.fromkeys(own)
        elif isinstance(part, kinds):
            following |= dict.fromkeys(waiting, part)
            waiting = []
    return following


@inits(source="Rumelhart, Hinton & Williams (1986), on breaking the symmetry, https://doi.org/10.1038/323533a0")
def zeros() -> Init:
    """Nothing but zeros: for one layer; units of a hidden layer would stay alike."""
    return Init(init.zeros_)


@inits(source="Rumelhart, Hinton & Williams (1986), https://doi.org/10.1038/323533a0")
def uniform(*, bound: float = 0.2) -> Init:
    """Evenly between -bound and bound, whatever the size of the layer."""
    _check("uniform", "bound", bound)
    return Init(lambda w: init.uniform_(w, -bound, bound))


@inits(source="Krizhevsky, Sutskever & Hinton (2012), https://doi.org/10.1145/3065386")
def normal(*, sd: float = 0.01, biases: float = 0.0) -> Init:
    """Gaussian with standard deviation sd, whatever the size of the layer; biases with their own."""
    _check("normal", "sd", sd)
    return Init(lambda w: init.normal_(w, std=sd), _check("normal", "biases", biases))


@inits(source="Robert (1995), https://doi.org/10.1007/BF00143942")
def truncated_normal(*, sd: float = 0.01, cut: float = 2.0, biases: float = 0.0) -> Init:
    """Gaussian with standard deviation sd, drawn again where it falls beyond `cut` standard deviations; so no weight starts far out."""
    _check("truncated-normal", "sd", sd)
    if not 0 < cut < float("inf"):
        raise InputError(f"truncated-normal expects cut, in standard deviations, to be a number above 0; got {cut}.")
    biases = _check("truncated-normal", "biases", biases)
    if sd == 0:
        return Init(init.zeros_, biases)
    return Init(lambda w: init.trunc_normal_(w, std=sd, a=-cut * sd, b=cut * sd), biases)


@inits(source="LeCun, Bottou, Orr & Müller (1998), https://doi.org/10.1007/3-540-49430-8_2")
def lecun(*, biases: float = 0.0) -> Init:
    """Gaussian with variance 1 / fan-in; `biases=1` gives biases from N(0, 1), as in Nielsen's book."""
    return Init(_lecun, _check("lecun", "biases", biases))


@inits(source="Glorot & Bengio (2010), https://proceedings.mlr.press/v9/glorot10a.html")
def xavier(*, shape: Literal["uniform", "normal"] = "uniform") -> Init:
    """Variance 2 / (fan-in + fan-out), evenly or Gaussian: for tanh and sigmoid units."""
    return Init(init.xavier_uniform_ if shape == "uniform" else init.xavier_normal_)


@inits(source="He, Zhang, Ren & Sun (2015), https://doi.org/10.1109/ICCV.2015.123")
def he() -> Init:
    """Gaussian with variance 2 / fan-in: for rectified units."""
    return Init(_he)


@inits(source="LeCun et al. (1998), https://doi.org/10.1007/3-540-49430-8_2; Bengio (2012), https://arxiv.org/abs/1206.5533, section 3.1; "
              "He, Zhang, Ren & Sun (2015), https://doi.org/10.1109/ICCV.2015.123; Klambauer et al. (2017), https://arxiv.org/abs/1706.02515")
def table() -> Init:
    """What each layer's own activation asks for.

    tanh, hard-tanh, softmax and no activation: xavier, evenly up to sqrt(6 / (fan-in + fan-out)); sigmoid: four times as wide; both as in
    Bengio (2012), section 3.1 (tables in teaching material are seen with these two rows exchanged). Rectified units: he, for a leaky one
    with variance 2 / (1 + slope^2) / fan-in; scaled-tanh and selu: lecun.
    """

    def after(activation: nn.Module | None) -> Fill:
        match activation:
            case nn.Sigmoid():
                return lambda w: init.xavier_uniform_(w, 4.0)
            case nn.LeakyReLU():
                return lambda w: init.kaiming_normal_(w, activation.negative_slope)
            case ScaledTanh() | nn.SELU():
                return _lecun
        return _he if isinstance(activation, RECTIFIED) else init.xavier_uniform_

    return Init(init.xavier_uniform_, after=after)


@inits(source="Saxe, McClelland & Ganguli (2013), https://arxiv.org/abs/1312.6120")
def orthogonal(*, gain: float = 1.0) -> Init:
    """A random rotation times `gain`: rows, or columns where there are fewer, are at right angles and of that length.

    A kernel is taken as a row of its channels and places. In a deep linear net every signal and every gradient then keeps its length.
    """
    _check("orthogonal", "gain", gain)
    return Init(lambda w: init.orthogonal_(w, gain))


@inits(source="Sussillo & Abbott (2014), https://arxiv.org/abs/1412.6558")
def random_walk(*, gain: float | None = None) -> Init:
    """Gaussian with variance gain^2 / fan-in, so that the logarithm of the gradient's length neither rises nor falls on average.

    Going down layer by layer it walks at random. Without drift it does at gain = exp(1 / (2 n)) for layers of n units that are linear,
    or tanh near zero, and sqrt(2) exp(1.2 / (max(n, 6) - 2.4)) for rectified ones; n is the layer's fan-in here.
    """
    if gain is not None:
        _check("random-walk", "gain", gain)

    def after(activation: nn.Module | None) -> Fill:
        def fill(w: Tensor) -> Tensor:
            n = math.prod(w.shape[1:])
            steady = 2**0.5 * math.exp(1.2 / (max(n, 6) - 2.4)) if isinstance(activation, RECTIFIED) else math.exp(0.5 / n)
            return init.normal_(w, std=(steady if gain is None else gain) * n**-0.5)

        return fill

    return Init(after(None), after=after)


@inits(source="Jaeger (2001), GMD report 148; Sutskever, Martens, Dahl & Hinton (2013), https://proceedings.mlr.press/v28/sutskever13.html")
def echo_state(*, radius: float = 1.1, connections: int = 15, inputs: float = 1.0) -> Init:
    """For recurrent nets: few weights back to each unit, scaled to a spectral radius, so that what was read echoes before it fades.

    Each unit reads `connections` others, Gaussian, and the matrix is divided by its largest eigenvalue in size and multiplied by
    `radius`. Weights that read inputs are Gaussian with standard deviation `inputs` / sqrt(fan-in), all others with 1 / sqrt(fan-in).
    """
    _check("echo-state", "radius", radius)
    _check("echo-state", "inputs", inputs)
    if connections < 1:
        raise InputError(f"echo-state expects each unit to read at least 1 other; got connections={connections}.")

    def sparse(w: Tensor) -> Tensor:
        units = w.shape[1]
        chosen = torch.rand(w.shape, device=w.device).argsort(1)[:, : min(connections, units)]       # (units, connections)
        drawn = torch.zeros_like(w).scatter_(1, chosen, torch.randn(chosen.shape, dtype=w.dtype, device=w.device))
        size = torch.linalg.eigvals(drawn.double()).abs().max().to(w.dtype)
        return w.copy_(drawn if size == 0 else drawn * (radius / size))

    return Init(_lecun, recurrent=sparse, driving=lambda w: _lecun(w).mul_(inputs))


def _lecun(weight: Tensor) -> Tensor:
    return init.normal_(weight, std=math.prod(weight.shape[1:]) ** -0.5)


def _he(weight: Tensor) -> Tensor:
    return init.kaiming_normal_(weight, nonlinearity="relu")


def _check(owner: str, option: str, value: float) -> float:
    if not 0 <= value < float("inf"):
        raise InputError(f"{owner} expects {option} to be a number of at least 0; got {value}.")
    return value
