"""Restricted Boltzmann machines: two layers of units and an energy over their joint states.

Smolensky (1986), "Information processing in dynamical systems", in Parallel Distributed Processing, vol. 1, ch. 6;
Hinton (2002), https://doi.org/10.1162/089976602760128018; Gaussian units as in Hinton & Salakhutdinov (2006), https://doi.org/10.1126/science.1127647
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.core.traits import Range, RowKind
from chainrule.nets.layers.restricted import Restricted, visible_units
from chainrule.nets.layers.units import Binary, Rectified

USUAL: dict[RowKind, str] = {"pictures": "binary", "switches": "binary", "categories": "multinomial", "numbers": "gaussian"}
NUMBERS = ("gaussian", "relu")  # units whose visible ones are Gaussian


def suited(kind: RowKind, groups: tuple[int, ...], options: Mapping[str, Any]) -> dict[str, Any]:
    """The visible units for rows of that kind, and the groups of those of which one is on."""
    units = options.get("units", USUAL[kind])
    return {"units": units, **({"groups": groups} if units == "multinomial" and groups else {})}


def range_of(options: Mapping[str, Any]) -> Range:
    """Gaussian units have unit variance, so their inputs must have it; all others are on or off."""
    return "standardised" if options.get("units") in NUMBERS else "unit"


def optimizer_of(options: Mapping[str, Any]) -> str | None:
    """A rate of a twentieth of the usual one where nothing bounds what a unit can be: Hinton (2010), section 13.2."""
    return "sgd:rate=0.005,momentum=0.9" if options.get("units") in NUMBERS else None


@nets("rbm", source="Smolensky (1986); Hinton (2002), https://doi.org/10.1162/089976602760128018", rule="divergence", kind="energy",
      tasks=("density", "generation"), suits=suited, range=range_of, optimizer=optimizer_of)
class RBM(Restricted):
    """A restricted Boltzmann machine: (n, ...) -> the means of the hidden units (n, hidden), of binary ones their probabilities.

    The energy is -h W v - c h - b v for binary visible units, and |v - b|^2 / 2 - h W v - c h for Gaussian ones, which have unit
    variance. `multinomial` units are in `groups` of these sizes (one size is that of all), of which one is on: columns of categories.
    `relu` has Gaussian visible units and noisy rectified hidden ones. Inputs of several axes are flattened. Raises InputError for groups
    that do not make up the inputs.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, hidden: int = 500,
                 units: Literal["binary", "gaussian", "relu", "multinomial"] = "binary", groups: tuple[int, ...] = ()):
        if hidden < 1:
            raise InputError(f"rbm needs at least one hidden unit; got hidden={hidden}. Write rbm:hidden=500.")
        if groups and units != "multinomial":
            raise InputError(f"groups={'x'.join(map(str, groups))} are of units of which one is on; got units={units}. Write "
                             "rbm:units=multinomial, or leave groups out.")
        size = math.prod(inputs)
        visible = visible_units(units, sizes(groups, inputs) if units == "multinomial" else ())
        super().__init__(visible, Rectified() if units == "relu" else Binary(), size, hidden)
        self.units = units

    def extra_repr(self) -> str:
        return f"visible={self.weight.shape[1]}, hidden={self.weight.shape[0]}, units={self.units}"


def sizes(groups: tuple[int, ...], inputs: tuple[int, ...]) -> tuple[int, ...]:
    """The size of every group: where none is named all inputs are one, or of inputs of several axes those of the last."""
    size = math.prod(inputs)
    groups = groups or inputs[-1:]
    every = groups * (size // groups[0]) if len(groups) == 1 and groups[0] > 0 else groups
    if sum(every) != size or min(every) < 1:
        raise InputError(f"The groups of multinomial units should have {size} units together; got groups={'x'.join(map(str, groups))}. "
                         f"Write e.g. groups={size}.")
    return every
