"""All programs by name: the healthy ones, then the faulty ones."""

from __future__ import annotations

from collections.abc import Mapping

from chainrule.bench.faults.faulty import FAULTY
from chainrule.bench.faults.healthy import HEALTHY
from chainrule.bench.faults.programs import Program

PROGRAMS: Mapping[str, Program] = {**HEALTHY, **FAULTY}
