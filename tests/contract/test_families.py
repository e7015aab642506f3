"""Every registered net: it builds for several shapes, gives what it says, names its source, and runs on tensors from outside."""

import math
import typing

import pytest
import torch
from small_families import SMALL
from torch import nn

from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import Entry, inits, losses, nets, tasks
from chainrule.nets.init.initial import initialise
from chainrule.nets.layers.activation import ACTIVATIONS

SHAPES = [(5,), (16,), (3, 7), (6, 4), (12, 5), (1, 8, 8), (1, 20, 24), (1, 28, 28), (3, 32, 32)]
CLASSES_ONLY = {"capsnet"}  # a capsule a class: one output means nothing
LARGE = (3, 80, 80)  # for choices that only large pictures allow
FAMILIES = nets.entries()
STEPWISE = {name for name in tasks.names() if tasks.find(name).traits.steps}
PREDICTORS = [e for e in FAMILIES if e.traits.kind is None]  # the others model the inputs, and give what their docstring says


PIXELWISE = {name for name in tasks.names() if "maps" in tasks.find(name).traits.targets}

PAIRWISE = {name for name in tasks.names() if "pairs" in tasks.find(name).traits.targets}

GRIDWISE = {name for name in tasks.names() if "boxes" in tasks.find(name).traits.targets}


def answers_steps(entry: Entry) -> bool:
    """Whether a family is made for tasks that ask for an answer at every step of a sequence."""
    return bool(STEPWISE & set(entry.traits.tasks))


def expected(entry: Entry, rows: int, shape: tuple[int, ...], outputs: int) -> tuple[int, ...]:
    """The shape of a family's outputs: a row a sample, a row a step (of hidden states as well), or a map or a square an output."""
    if entry.traits.tasks and entry.traits.tasks[0] in PIXELWISE:
        return rows, outputs, *shape[1:]
    if entry.traits.tasks and entry.traits.tasks[0] in PAIRWISE:
        return rows, outputs, shape[0], shape[0]
    if entry.traits.tasks and entry.traits.tasks[0] in GRIDWISE:
        return rows, outputs, *(-(-side // 2 ** len(SMALL[entry.name]["filters"])) for side in shape[1:])
    return (rows, shape[0], outputs) if answers_steps(entry) or entry.traits.sequences else (rows, outputs)


GIVES_BACK = {name for name in tasks.names() if tasks.find(name).traits.targetless}


def gives_back(entry: Entry) -> bool:
    """Whether a family has as many outputs as inputs, since these are what it gives back."""
    return bool(GIVES_BACK & set(entry.traits.tasks))


def built(entry: Entry, shape: tuple[int, ...], outputs: int | None = None, seed: int = 0, **options) -> nn.Module:
    torch.manual_seed(seed)
    outputs = outputs or (math.prod(shape) if gives_back(entry) else 4)
    return entry.make(shape, outputs, **{**SMALL.get(entry.name, {}), **options})


def readable(entry: Entry) -> list[tuple[int, ...]]:
    """The shapes a family accepts; what it refuses it refuses with an InputError."""
    accepted = []
    for shape in SHAPES:
        try:
            built(entry, shape)
        except InputError:
            continue
        accepted.append(shape)
    return accepted


@pytest.mark.parametrize("entry", FAMILIES, ids=lambda e: e.name)
def test_reads_at_least_three_of_the_shapes_and_gives_one_finite_row_per_sample(entry):
    shapes = readable(entry)
    assert len(shapes) >= (1 if answers_steps(entry) else 3)
    for shape in shapes:
        outputs = built(entry, shape).eval()(torch.rand(6, *shape))
        assert outputs.dim() == len(expected(entry, 6, shape, 4))
        assert len(outputs) == 6
        assert outputs.isfinite().all()


@pytest.mark.parametrize("entry", PREDICTORS, ids=lambda e: e.name)
def test_gives_as_many_outputs_as_asked(entry):
    for shape in readable(entry):
        asked = (math.prod(shape),) if gives_back(entry) else (2, 4) if entry.name in CLASSES_ONLY else (1, 4)
        for outputs in asked:
            assert built(entry, shape, outputs)(torch.rand(3, *shape)).shape == expected(entry, 3, shape, outputs)


@pytest.mark.parametrize("entry", PREDICTORS, ids=lambda e: e.name)
def test_treats_every_sample_by_itself_and_looks_at_all_of_the_input(entry):
    shape = readable(entry)[-1]
    net, x = built(entry, shape).eval(), torch.rand(5, *shape, requires_grad=True)
    torch.testing.assert_close(net(x)[2:3], net(x[2:3]))
    (seen,) = torch.autograd.grad(net(x)[2].square().sum(), x)
    assert not seen[[0, 1, 3, 4]].any()
    assert (seen[2] != 0).float().mean() > 0.9


@pytest.mark.parametrize("entry", FAMILIES, ids=lambda e: e.name)
def test_names_its_source_and_summary(entry):
    assert any(mark in entry.source for mark in ("doi.org", "arxiv.org"))
    assert "(n, " in entry.summary
    assert "->" in entry.summary


@pytest.mark.parametrize("entry", FAMILIES, ids=lambda e: e.name)
def test_runs_on_tensors_held_outside(entry):
    shape = readable(entry)[0]
    module, other = built(entry, shape).eval(), built(entry, shape, seed=1).eval()
    with torch.no_grad():
        for p in other.parameters():
            p.add_(torch.rand_like(p) * 0.1)
    net, x = Net.of(module), torch.rand(4, *shape)
    swapped = Net(module, *(dict(tensors) for tensors in (other.named_parameters(), other.named_buffers())))
    torch.testing.assert_close(net(x), module(x))
    torch.testing.assert_close(net.clone()(x), module(x))
    torch.testing.assert_close(swapped(x), other(x))
    if net.params:  # McCulloch and Pitts' units have none
        assert not torch.allclose(swapped(x), net(x))


@pytest.mark.parametrize("entry", FAMILIES, ids=lambda e: e.name)
def test_a_stack_runs_each_member_as_it_runs_alone(entry):
    shape = readable(entry)[0]
    members, x = [Net.of(built(entry, shape, seed=s).eval()) for s in range(3)], torch.rand(4, *shape)
    together = torch.vmap(lambda net, x: net(x), in_dims=(0, None))(Net.stack(members), x)
    torch.testing.assert_close(together, torch.stack([net(x) for net in members]))


@pytest.mark.parametrize("entry", FAMILIES, ids=lambda e: e.name)
def test_one_seed_one_net(entry):
    for shape in readable(entry):
        first, again = (Net.of(built(entry, shape)).tensors for _ in range(2))
        torch.testing.assert_close(first, again, rtol=0, atol=0)


def choices(entry: Entry) -> list[tuple[str, typing.Any]]:
    """Every value of every option that has few: yes or no, and one of several words."""
    found: list[tuple[str, typing.Any]] = []
    for option in entry.options.values():
        if option.kind is bool:
            found += [(option.name, False), (option.name, True)]
        elif typing.get_origin(option.kind) is typing.Literal:
            found += [(option.name, word) for word in typing.get_args(option.kind)]
    return found


@pytest.mark.parametrize("entry", FAMILIES, ids=lambda e: e.name)
def test_every_choice_of_every_option_builds_and_runs(entry):
    for name, value in choices(entry):
        for shape in (*reversed(readable(entry)), LARGE):
            try:
                net = built(entry, shape, **{name: value})
            except InputError:
                continue
            assert net(torch.rand(2, *shape)).isfinite().all()
            break
        else:
            pytest.fail(f"{entry.name}:{name}={value} fits none of {SHAPES}")


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("entry", [e for e in FAMILIES if "activation" in e.options], ids=lambda e: e.name)
def test_every_activation_stands_between_its_layers(entry, activation):
    shape = readable(entry)[0]
    assert built(entry, shape, activation=activation).eval()(torch.rand(2, *shape)).shape[0] == 2


@pytest.mark.parametrize("entry", FAMILIES, ids=lambda e: e.name)
def test_its_loss_and_its_init_exist(entry):
    if entry.traits.loss is not None:
        losses.choose(entry.traits.loss).make()
    if entry.traits.init is not None:
        shape = readable(entry)[0]
        net = built(entry, shape)
        initialise(net, inits.choose(entry.traits.init), torch.rand(12, *shape))
        assert all(not p.any() for name, p in net.named_parameters() if name.endswith("bias"))
