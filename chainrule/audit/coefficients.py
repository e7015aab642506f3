"""What a net of one layer has learned, in the units of the data: a weight for each input and a bias, for each output.

Gauss (1809), Theoria motus; standardising turned back as in Draper & Smith (1998), Applied Regression Analysis, https://doi.org/10.1002/9781118625590
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chainrule.core.text import label, table
from chainrule.data.encode.input_encoder import InputEncoder
from chainrule.job.trained import Trained

MOST_INPUTS, MOST_OUTPUTS = 200, 20     # of a table that a page has room for
LINE_INPUTS = 8                         # of a formula in one line
FEATURES = 12                           # rows that a terminal shows


@dataclass(frozen=True)
class Coefficients:
    """`weights` (outputs, inputs) and `bias` (outputs,), float64, of inputs and outputs in their own units.

    Outputs of classes are scores, whose names are those of the classes.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: Tensor
    bias: Tensor

    @property
    def heads(self) -> list[str]:
        return ["input", *self.outputs]

    @property
    def rows(self) -> list[list[str]]:
        """A row of text for each input and one for the bias."""
        every = torch.cat([self.weights, self.bias[:, None]], 1).T
        return [[name, *(f"{value:.6g}" for value in row)] for name, row in zip((*self.inputs, "bias"), every.tolist(), strict=True)]

    def to_json(self) -> dict[str, dict[str, float]]:
        """For each output its weights by input, and `bias`."""
        return {output: {**dict(zip(self.inputs, row, strict=True)), "bias": bias}
                for output, row, bias in zip(self.outputs, self.weights.tolist(), self.bias.tolist(), strict=True)}

    def __str__(self) -> str:
        """A formula for each output, or, of many inputs, a table of those with the largest effect."""
        if len(self.inputs) <= LINE_INPUTS:
            return "\n".join(_formula(output, self.inputs, row, bias)
                             for output, row, bias in zip(self.outputs, self.weights.tolist(), self.bias.tolist(), strict=True))
        return "\n".join(["Weights in the units of the data (the report has all):",
                          *table([self.heads, *self.rows[:-1][:FEATURES], self.rows[-1]])])


def coefficients(trained: Trained) -> Coefficients | None:
    """The weights of a net that is one linear layer over a row of numbers, or None for every other net, and for steps of series."""
    layer, inputs, target = trained.net.module, trained.encoder.inputs, trained.encoder.target
    if not isinstance(layer, nn.Linear) or inputs.vocabulary is not None or target.kind not in ("class", "real", "sign"):
        return None
    weight = layer.weight.detach().double().cpu()                                              # (outputs, inputs)
    bias = torch.zeros(len(weight), dtype=torch.float64) if layer.bias is None else layer.bias.detach().double().cpu()
    if weight.shape[1] > MOST_INPUTS or len(weight) > MOST_OUTPUTS:
        return None
    if inputs.scale is not None and inputs.scale.shape[1] not in (1, weight.shape[1]):       # a scale for each column, read at many steps
        return None
    centre, factor = _affine(inputs, weight.shape[1])                                          # (inputs,) each
    weight = weight * factor
    bias = bias - weight @ centre
    if target.scale is not None:
        mean, sd = target.scale.double()                                                       # (outputs,) each
        weight, bias = weight * sd[:, None], bias * sd + mean
    names = inputs.feature_names
    named = names if len(names) == weight.shape[1] else tuple(f"input {i + 1}" for i in range(weight.shape[1]))
    return Coefficients(named, _outputs(trained, len(weight)), weight, bias)


def _outputs(trained: Trained, count: int) -> tuple[str, ...]:
    if trained.encoder.target.kind == "sign":
        return (f"score of {trained.encoder.target.classes[1]}",)
    names = trained.columns(count)
    return names if trained.encoder.target.kind == "real" else tuple(f"score of {label(name)}" for name in names)


def _affine(inputs: InputEncoder, width: int) -> tuple[Tensor, Tensor]:
    """Centre and factor (width,) by which each number that the net reads was made of one in the data."""
    if inputs.features is not None:
        return inputs.features.affine()
    if inputs.scale is None:
        return torch.zeros(width, dtype=torch.float64), torch.full((width,), 1 / inputs.maximum, dtype=torch.float64)
    centre, factor = inputs.scale.double()
    return centre.expand(width), factor.expand(width)


def _formula(output: str, inputs: tuple[str, ...], weights: list[float], bias: float) -> str:
    terms = [f"{'-' if w < 0 else '+'} {abs(w):.6g} {name}" for name, w in zip(inputs, weights, strict=True)]
    terms.append(f"{'-' if bias < 0 else '+'} {abs(bias):.6g}")
    return f"{output} = {' '.join(terms).removeprefix('+ ')}"
