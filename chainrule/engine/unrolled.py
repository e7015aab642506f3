"""What programs do not write out: a recurrent layer's many steps, of which a kernel does all at once."""

from __future__ import annotations

from torch import Tensor, nn

from chainrule.core.abilities.sequences import Unrolls
from chainrule.core.errors import PlanRejected
from chainrule.core.kernels import offered

MOST_STEPS = 32     # written out in a program; writing out more takes longer than it saves


def check_steps(module: nn.Module, x: Tensor) -> None:
    """Raises PlanRejected where a program for inputs x (n, t, ...) would write out more steps through time than is worth it."""
    steps = x.shape[1] if x.dim() > 1 else 1
    if steps > MOST_STEPS and isinstance(module, Unrolls) and all(offered(kernel) is not None for kernel in module.kernels):
        raise PlanRejected(f"{steps} steps through time would be written out one by one, where a kernel does them all; programs write out "
                           f"{MOST_STEPS} at most")
