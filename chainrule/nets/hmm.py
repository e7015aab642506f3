"""Hidden Markov models: a chain of states that cannot be seen, each of which gives off what can.

Rabiner (1989), https://doi.org/10.1109/5.18626; Baum, Petrie, Soules & Weiss (1970), https://doi.org/10.1214/aoms/1177697196
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from chainrule.core.abilities.densities import Expected
from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.core.steps import until_last
from chainrule.nets.layers.emissions import Gaussians, Symbols
from chainrule.nets.layers.forward_backward import (
    Chain,
    likeliest_path,
    log_likelihood,
    log_likelihood_in_logs,
    posteriors,
    posteriors_in_logs,
)

Emissions = Literal["auto", "discrete", "gaussian", "mixture"]


class Initial(nn.Module):
    """The shares of the first state: `log_shares` (states,)."""

    def __init__(self, states: int):
        super().__init__()
        self.log_shares = nn.Parameter(torch.zeros(states).log_softmax(0))

    def forward(self) -> Tensor:
        return self.log_shares.log_softmax(0)


class Transitions(nn.Module):
    """The shares of the states (columns) after each (rows): `log_shares` (states, states)."""

    def __init__(self, states: int):
        super().__init__()
        self.log_shares = nn.Parameter(torch.randn(states, states).mul_(0.5).log_softmax(1))

    def forward(self) -> Tensor:
        return self.log_shares.log_softmax(1)


@nets("hmm", source="Rabiner (1989), https://doi.org/10.1109/5.18626", rule="baum-welch", kind="generative", tasks=("density",),
      sequences=True)
class HiddenMarkov(nn.Module):
    """A Markov chain of hidden states that give off what is seen: (n, t, d) -> the probability of each state at each step (n, t, states).

    Symbols come as one-hot rows and have shares in each state (`emissions=discrete`); numbers are `gaussian`, or a `mixture` of
    `components` Gaussians, in each state; `auto` takes what the inputs are. A row of zeros, or one with a NaN, is a step that was not
    observed; those at the end are none, and have probabilities of zero. `form=log` computes in logarithms. Raises InputError for inputs
    that are no sequences.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, states: int = 4, emissions: Emissions = "auto", components: int = 2,
                 covariance: Literal["full", "diagonal"] = "full", form: Literal["scaled", "log"] = "scaled"):
        super().__init__()
        if len(inputs) != 2:
            raise InputError(f"hmm reads sequences of symbols or of rows of numbers (t, d); got inputs of shape {inputs}. Give text, FASTA "
                             "or a series with --time, or use --net mixture.")
        if states < 1 or components < 1:
            raise InputError(f"hmm needs at least one state and one component; got states={states}, components={components}. Write "
                             "hmm:states=4.")
        if emissions == "discrete" and not outputs:
            raise InputError("hmm:emissions=discrete is for sequences of symbols; got rows of numbers. Write hmm:emissions=gaussian.")
        self.length, self.form = inputs[0], form
        self.initial, self.transitions = Initial(states), Transitions(states)
        kind = emissions if emissions != "auto" else "discrete" if outputs else "gaussian"
        self.emissions: Symbols | Gaussians = (
            Symbols(states, inputs[1]) if kind == "discrete"
            else Gaussians(states, inputs[1], components if kind == "mixture" else 1, covariance))

    @property
    def chain(self) -> Chain:
        return Chain(self.initial(), self.transitions())

    def present(self, x: Tensor) -> Tensor:
        """The steps (n, t) that exist: those up to the last that was observed."""
        return until_last(self.emissions.observed(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.expected(x).states

    def log_prob(self, x: Tensor) -> Tensor:
        """The log likelihood (n,) of sequences (n, t, d)."""
        rows = x.transpose(0, 1)
        if self.form == "log":
            return log_likelihood_in_logs(self.chain, self.emissions.logs(rows))
        return log_likelihood(self.chain, self.emissions(rows))

    def expected(self, x: Tensor, weight: Tensor | None = None) -> Expected:
        """What is expected of the hidden states of sequences (n, t, d), whose transitions count by weights (n,)."""
        rows, present = x.transpose(0, 1), self.present(x).T
        passes = (posteriors_in_logs(self.chain, self.emissions.logs(rows), present, weight) if self.form == "log"
                  else posteriors(self.chain, self.emissions(rows), present, weight))
        return Expected(passes.log_likelihood, passes.states.transpose(0, 1), passes.transitions)

    def components(self, x: Tensor) -> Tensor:
        """The log of each Gaussian's weight times its density at rows of numbers (n, d), (n, states, components)."""
        if not isinstance(self.emissions, Gaussians):
            raise InputError("hmm:emissions=discrete has no Gaussians. Write hmm:emissions=mixture.")
        return self.emissions.components(x)

    def path(self, x: Tensor) -> Tensor:
        """The likeliest states (n, t) of sequences (n, t, d), all of them together; -1 where no step exists."""
        return likeliest_path(self.chain, self.emissions.logs(x.transpose(0, 1)), self.present(x).T).T

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """So many sequences (count, t, d), as long as the inputs."""
        return self.draw(count)[0]

    @torch.no_grad()
    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """So many sequences (count, t, d), as long as the inputs, and the states (count, t) behind them."""
        initial, follow = (log.exp() for log in self.chain)
        state = initial.expand(count, -1).multinomial(1).squeeze(1)
        states = [state]
        for _ in range(1, self.length):
            state = follow[state].multinomial(1).squeeze(1)
            states.append(state)
        path = torch.stack(states, 1)                                                     # (count, t)
        return self.emissions.draw(path.flatten()).unflatten(0, path.shape), path

    def extra_repr(self) -> str:
        return f"states={len(self.initial.log_shares)}, form={self.form}"
