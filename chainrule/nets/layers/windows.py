"""What nets ask of the windows of a series that they read."""

from __future__ import annotations

from chainrule.core.errors import InputError


def check_windows(net: str, inputs: tuple[int, ...], outputs: int, targets: int, *, steps: int = 1, what: str = "lags") -> None:
    """Raises InputError for inputs that are no windows (t, d) of at least `steps` steps, and for outputs that are no steps of targets."""
    if len(inputs) != 2 or not 1 <= steps <= inputs[0]:
        raise InputError(f"{net} reads windows (t, d) of a series, and at most t steps of each; got inputs of shape {inputs} and {what}="
                         f"{steps}. Give a series with --horizon, and --lags that suffice.")
    if not 1 <= targets <= inputs[1] or outputs % targets:
        raise InputError(f"{net} foretells the first columns of a series, each equally far; got targets={targets} of {inputs[1]} columns "
                         f"and {outputs} outputs. Leave targets out.")
