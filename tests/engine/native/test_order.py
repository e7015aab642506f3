"""In which order kernels may run: by enumeration of all paths, and at a cost that grows with their number."""

import random

import pytest
import torch

from chainrule.engine.native import order
from chainrule.engine.native.loops import Call
from chainrule.engine.native.order import Dependence, arranged
from chainrule.engine.native.terms import Buffer


def buffer(kind="temporary"):
    return Buffer(kind, torch.float32, (4,), (1,))


def kernel(reads, writes):
    return Call("a kernel", [(b, 0) for b in (*reads, *writes)], set(writes), "")


def layers(depth):
    """Forward through so many layers, backward, and a new value of each layer's weight, all read before: kernels and finals."""
    weights, new = [buffer("learner") for _ in range(depth)], [buffer() for _ in range(depth)]
    values, slopes = [buffer() for _ in range(depth + 1)], [buffer() for _ in range(depth + 1)]
    forward = [kernel([w, values[i]], [values[i + 1]]) for i, w in enumerate(weights)]
    backward = []
    for i in reversed(range(depth)):
        # the new weight is computed as soon as its slope is known, before the layer's own weight is read a last time
        backward += [kernel([slopes[i + 1], values[i]], [new[i]]), kernel([weights[i], slopes[i + 1]], [slopes[i]])]
    return [kernel([], [values[0]]), *forward, kernel([values[-1]], [slopes[-1]]), *backward], list(zip(weights, new, strict=True))


def test_the_cost_of_settling_new_values_grows_with_the_number_of_layers_alone():
    """All edges used to be built anew for every parameter, and followed to the end."""
    visits = []
    for depth in (50, 100, 200):
        kernels, finals = layers(depth)
        dependence = Dependence(kernels)
        assert all(dependence.settle(home, new) for home, new in finals)
        visits.append(dependence.visits)
    assert visits[1] <= 2.1 * visits[0]
    assert visits[2] <= 2.1 * visits[1]


def test_a_new_value_is_written_when_nobody_reads_the_old_one_any_more():
    kernels, finals = layers(6)
    done = arranged(kernels, finals)
    assert len(done) == len(kernels), "nothing is copied"
    for home, new in finals:
        written = next(i for i, k in enumerate(done) if new in k.writes)
        assert new.home is home
        assert max(i for i, k in enumerate(done) if home in k.reads) < written


def test_a_value_that_the_last_reader_of_the_old_one_needs_is_copied_at_the_end():
    old, new, later = buffer("learner"), buffer(), buffer()
    kernels = [kernel([], [new]), kernel([new, old], [later])]
    dependence = Dependence(kernels)
    assert not dependence.settle(old, new)
    assert new.home is None


@pytest.mark.parametrize("seed", range(30))
def test_settling_agrees_with_following_every_path(seed):
    """Drawn kernels: a buffer settles exactly where no path leads from its writers to a reader of the old value."""
    draw = random.Random(seed)
    homes, buffers, kernels = [buffer("learner") for _ in range(4)], [buffer() for _ in range(8)], []
    for i, b in enumerate(buffers):
        reads = draw.sample(buffers[:i], min(i, draw.randint(0, 2))) + draw.sample(homes, draw.randint(0, 2))
        kernels.append(kernel(reads, [b]))
    finals = list(zip(homes, draw.sample(buffers, 4), strict=True))
    dependence = Dependence(kernels)
    for home, new in finals:
        arrows = {(i, j) for i, a in enumerate(kernels) for j, b in enumerate(kernels) if i != j and a.writes & b.reads}
        arrows |= {(i, j) for i, a in enumerate(kernels) for j, b in enumerate(kernels) for w in b.writes if w.home in a.reads and i != j}
        writer = buffers.index(new)
        after = {writer}
        while more := {j for i, j in arrows if i in after} - after:
            after |= more
        free = not any(home in k.reads for i, k in enumerate(kernels) if i in after)
        if home in kernels[writer].reads:
            free = False  # such a kernel may only be a loop that reads where it writes
        assert dependence.settle(home, new) == free
    place = {id(k): i for i, k in enumerate(order._sorted(kernels))}
    for a in kernels:
        for b in kernels:
            if a is not b and (a.writes & b.reads or any(w.home in a.reads for w in b.writes)):
                assert place[id(a)] < place[id(b)]
