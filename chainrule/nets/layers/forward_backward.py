"""Inference in a Markov chain of hidden states: forward and backward passes, scaled or in logarithms, and the likeliest path.

Baum, Petrie, Soules & Weiss (1970), https://doi.org/10.1214/aoms/1177697196; Rabiner (1989), https://doi.org/10.1109/5.18626; Viterbi
(1967), https://doi.org/10.1109/TIT.1967.1054010. Everything is batched over sequences, time first: a step of all of them is a few small
products, and what one step needs of another stays in the cache.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from chainrule.core.kernels import plain

BLOCK = 16      # steps whose pairs are computed at once: what they need stays in the cache


class Chain(NamedTuple):
    """Log probabilities: of the first state (k,), and of each state (columns) after each (rows), (k, k)."""

    initial: Tensor
    transitions: Tensor


class Relative(NamedTuple):
    """Likelihoods (t, n, k) that the states give each step, relative to the greatest of them, whose log (t, n) stands apart.

    A step that was not observed, or is not there, has ones, and zero for the log.
    """

    likelihoods: Tensor
    greatest: Tensor


class Passes(NamedTuple):
    """Log likelihoods (n,), probabilities of the states (t, n, k) given the whole sequence, and expected transitions (k, k)."""

    log_likelihood: Tensor
    states: Tensor
    transitions: Tensor


def relative(logs: Tensor) -> Relative:
    """Of log likelihoods (t, n, k)."""
    greatest = logs.amax(2)
    return Relative((logs - greatest[..., None]).exp(), greatest)


def log_likelihood(chain: Chain, seen: Relative) -> Tensor:
    """The log likelihood (n,) of sequences: of the product of the probabilities of their steps, each given those before."""
    _, scales = _forward(chain, seen.likelihoods)
    return (torch.cat(scales, 1).log() + seen.greatest.T).sum(1)


def posteriors(chain: Chain, seen: Relative, exists: Tensor, weight: Tensor | None = None) -> Passes:
    """The passes over sequences of which the steps `exists` (t, n) are there; transitions count by sequence weights (n,).

    Every step is divided by its probability, which loses states that are e^87 times less likely than another at the same step in single
    precision.
    """
    if plain(seen.likelihoods, chain.transitions) and not torch.is_grad_enabled():
        return _in_place(chain, seen, exists, weight)
    there = exists.to(seen.likelihoods.dtype)[..., None]                                 # (t, n, 1)
    share = there if weight is None else there * weight[:, None]
    forward, scales = _forward(chain, seen.likelihoods)
    back, steps = chain.transitions.exp().T, seen.likelihoods.unbind()
    after = torch.ones_like(steps[0])                                                    # what a state says of the steps to come, (n, k)
    states, pairs = [forward[-1] * there[-1]], torch.zeros_like(chain.transitions)
    for t in range(len(steps) - 1, 0, -1):
        joint = steps[t] * after / scales[t]
        pairs = torch.addmm(pairs, forward[t - 1].T, joint * share[t])
        after = joint @ back
        states.append(forward[t - 1] * after * there[t - 1])
    likelihood = (torch.cat(scales, 1).log() + seen.greatest.T).sum(1)
    return Passes(likelihood, torch.stack(states[::-1]), pairs * chain.transitions.exp())


def _in_place(chain: Chain, seen: Relative, exists: Tensor, weight: Tensor | None) -> Passes:
    """What `posteriors` gives, with nothing to differentiate: sequences lie along the last axis, every step writes into its own place, and
    what is computed of pairs of neighbours is computed for a block of steps at once."""
    likelihoods = seen.likelihoods.transpose(1, 2).contiguous()                          # (t, k, n), written over on the way back
    there = exists.to(likelihoods.dtype)                                                 # (t, n)
    whole = bool(exists.all())
    share = None if whole and weight is None else there if weight is None else there * weight
    follow, forward = chain.transitions.exp(), torch.empty_like(likelihoods)
    count, states, _ = likelihoods.shape
    onward = torch.cat([follow.T, torch.ones_like(follow[:1])])                          # the last row sums what it multiplies
    ahead = torch.empty(count, states + 1, likelihoods.shape[2], dtype=likelihoods.dtype, device=likelihoods.device)
    steps, scales = likelihoods.unbind(), ahead[:, states:].unbind()                     # scales (1, n) of each step
    before = chain.initial.exp()[:, None]
    for t, (step, state, after) in enumerate(zip(steps, forward.unbind(), ahead.unbind(), strict=True)):
        torch.mul(before, step, out=state)
        if t:
            state.div_(scales[t - 1])                                                    # so that the step before adds up to 1
        torch.mm(onward, state, out=after)
        before = after[:states]
    forward.div_(ahead[:, states:])
    pairs, after = torch.zeros_like(follow), torch.ones_like(steps[0])
    for end in range(count - 1, 0, -BLOCK):
        begin = max(end - BLOCK, 0)                                                      # steps from `end` down to the one after `begin`
        later = torch.empty_like(likelihoods[begin:end])                                 # what states say of the steps after their own
        places = later.unbind()
        for i in range(end, begin, -1):
            steps[i].mul_(after).div_(scales[i])
            after = places[i - 1 - begin]
            torch.mm(follow, steps[i], out=after)
        joint, earlier = likelihoods[begin + 1 : end + 1], forward[begin:end]
        if share is not None:
            joint.mul_(share[begin + 1 : end + 1, None])
        pairs += torch.bmm(earlier, joint.transpose(1, 2)).sum(0)
        earlier.mul_(later)
    if not whole:
        forward.mul_(there[:, None])
    return Passes((ahead[:, states].log() + seen.greatest).sum(0), forward.transpose(1, 2), pairs * follow)


def likeliest_path(chain: Chain, logs: Tensor, exists: Tensor) -> Tensor:
    """The likeliest states (t, n) of log likelihoods (t, n, k) given the whole sequence, all together; -1 where no step exists."""
    best = chain.initial + logs[0]                                                       # (n, k)
    own = torch.arange(best.shape[1], device=best.device)
    before = []
    for step, there in zip(logs[1:].unbind(), exists[1:, :, None].unbind(), strict=True):
        value, came = (best[:, :, None] + chain.transitions).max(1)                      # (n, k) each
        best = torch.where(there, value + step, best)
        before.append(torch.where(there, came, own))
    state = best.argmax(1)                                                               # (n,)
    path = [state]
    for came in reversed(before):
        state = came.gather(1, state[:, None]).squeeze(1)
        path.append(state)
    return torch.where(exists, torch.stack(path[::-1]), -1)


def _forward(chain: Chain, likelihoods: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """For each step the states' probabilities (n, k) given the steps up to it, and its own (n, 1) given those before it."""
    follow, ahead = chain.transitions.exp(), chain.initial.exp()
    states, scales = [], []
    for step in likelihoods.unbind():
        joint = ahead * step                                                             # (n, k)
        scale = joint.sum(1, keepdim=True)
        state = joint / scale
        states.append(state)
        scales.append(scale)
        ahead = state @ follow
    return states, scales


def log_likelihood_in_logs(chain: Chain, logs: Tensor) -> Tensor:
    """The log likelihood (n,) of sequences whose steps have log likelihoods (t, n, k)."""
    return _forward_log(chain, logs)[-1].logsumexp(1)


def _forward_log(chain: Chain, logs: Tensor) -> Tensor:
    """The joint log probability (t, n, k) of the steps up to each and its state."""
    joint = chain.initial + logs[0]
    every = [joint]
    for step in logs[1:].unbind():
        joint = (joint[:, :, None] + chain.transitions).logsumexp(1) + step
        every.append(joint)
    return torch.stack(every)


def posteriors_in_logs(chain: Chain, logs: Tensor, exists: Tensor, weight: Tensor | None = None) -> Passes:
    """What `posteriors` gives, of log likelihoods (t, n, k): nothing is lost, at many times the cost."""
    there = exists.to(logs.dtype)[..., None]                                             # (t, n, 1)
    share = there if weight is None else there * weight[:, None]
    forward = _forward_log(chain, logs)
    total = forward[-1].logsumexp(1)                                                     # (n,)
    after = torch.zeros_like(logs[0])
    states, pairs = [forward[-1] - total[:, None]], torch.zeros_like(chain.transitions)
    for t in range(len(logs) - 1, 0, -1):
        joint = logs[t] + after                                                          # (n, k)
        both = (forward[t - 1] - total[:, None])[:, :, None] + chain.transitions + joint[:, None]
        pairs = pairs + (both.exp() * share[t][..., None]).sum(0)
        after = (chain.transitions + joint[:, None]).logsumexp(2)
        states.append(forward[t - 1] + after - total[:, None])
    return Passes(total, torch.stack(states[::-1]).exp() * there, pairs)
