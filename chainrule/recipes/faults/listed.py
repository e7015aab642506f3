"""All programs by name: the healthy ones, then the faulty ones; and the clear ones of the short form."""

from __future__ import annotations

from collections.abc import Mapping

from chainrule.recipes.faults.faulty import FAULTY
from chainrule.recipes.faults.healthy import HEALTHY
from chainrule.recipes.faults.programs import Program

PROGRAMS: Mapping[str, Program] = {**HEALTHY, **FAULTY}
SHORT = ("vanishing-sigmoid-small", "symmetric-zeros", "rate-500", "scale-normal-1", "dead-first-layer", "creeping-sgd",
         "sign-cross-entropy", "mlp-sigmoid", "rate-half", "frozen-backbone", "cosine", "dropout-half")
