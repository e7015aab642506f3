"""Optimizers against torch.optim step by step, on an ill-conditioned bowl, and in every form the engine calls them."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from chainrule.core.errors import InputError
from chainrule.core.registry import optimizers
from chainrule.core.tree import clone, leaves

TWINS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd:rate=0.03,decay=0.1": lambda p: torch.optim.SGD(p, lr=0.03, weight_decay=0.1),
    "sgd:momentum=0.9": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "sgd:momentum=0.8,nesterov=yes,decay=0.05": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.05),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "momentum:decay=0.2": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.2),
    "nesterov:momentum=0.7": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.7, nesterov=True),
    "nesterov:decay=0.2": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.2),
    "adam": lambda p: torch.optim.Adam(p, lr=0.001),
    "adam:rate=0.1,beta1=0.7,beta2=0.9,epsilon=0.01,decay=0.1":
        lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.7, 0.9), eps=0.01, weight_decay=0.1),
    "adam:beta1=0": lambda p: torch.optim.Adam(p, lr=0.001, betas=(0.0, 0.999)),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.001),
    "adamw:rate=0.1,decay=0.3": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.3),
}
# A rate near what each can bear on a bowl whose curvatures reach from 1 to 100, as steps to a distance of 1e-3 from 1.
BOWL = {"sgd": ("sgd:rate=0.015", 1000), "momentum": ("momentum:rate=0.01", 400), "nesterov": ("nesterov:rate=0.01", 400),
        "adam": ("adam:rate=0.05", 1000), "adamw": ("adamw:rate=0.05,decay=0", 1000)}


def start() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {"weight": torch.randn(4, 3, dtype=torch.double), "bias": torch.randn(4, dtype=torch.double)}


def slope(params: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The gradient of sum(w^4 / 4 - cos w): not linear, not separable by luck from its own history."""
    return {k: p.detach() ** 3 + p.detach().sin() for k, p in params.items()}


def run(spec: str, steps: int, factors=lambda i: 1.0) -> dict[str, torch.Tensor]:
    optimizer, params = optimizers.choose(spec).make(), start()
    state = optimizer.init(params)
    for i in range(steps):
        state = optimizer.update(params, slope(params), state, factors(i), None)
    return params


def test_every_optimizer_has_a_twin_and_a_bowl():
    ours = {name for name in optimizers.names() if optimizers.find(name).make.__module__ == "chainrule.optim.optimizers"}
    assert {spec.split(":")[0] for spec in TWINS} == ours
    assert set(BOWL) == ours


FACTORS = {"constant": lambda i: 1.0, "number": lambda i: 0.9**i, "tensor": lambda i: torch.tensor(0.9**i, dtype=torch.double)}


@pytest.mark.parametrize("factors", FACTORS.values(), ids=FACTORS)
@pytest.mark.parametrize("spec", TWINS)
def test_twenty_steps_are_those_of_torch(spec, factors):
    theirs = start()
    twin = TWINS[spec](list(theirs.values()))
    rate = twin.param_groups[0]["lr"]
    for i in range(20):
        for p, g in zip(theirs.values(), slope(theirs).values()):
            p.grad = g
        twin.param_groups[0]["lr"] = rate * float(factors(i))
        twin.step()
    ours = run(spec, 20, factors)
    assert all((p - q).abs().max() > 1e-3 for p, q in zip(ours.values(), start().values()))
    torch.testing.assert_close(ours, {k: p.detach() for k, p in theirs.items()}, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", BOWL)
def test_reaches_the_bottom_of_a_bowl_of_condition_number_100(name):
    spec, steps = BOWL[name]
    optimizer, curvature = optimizers.choose(spec).make(), torch.logspace(0, 2, 10, dtype=torch.double)
    params = {"w": torch.ones(10, dtype=torch.double)}
    state = optimizer.init(params)
    for i in range(steps):
        factor = torch.tensor(1 - i / steps) if name.startswith("adam") else 1.0  # Adam at a constant rate circles the bottom
        state = optimizer.update(params, {"w": curvature * params["w"]}, state, factor, None)
    assert params["w"].norm() < 1e-3


@pytest.mark.parametrize("spec", TWINS)
def test_a_member_of_a_stack_moves_as_it_does_alone(spec):
    optimizer = optimizers.choose(spec).make()
    stack = {k: torch.stack([p, -2 * p, p + 1]) for k, p in start().items()}
    alone = [{k: p[i].clone() for k, p in stack.items()} for i in range(3)]
    state = clone(torch.vmap(optimizer.init)(stack))
    states = [optimizer.init(params) for params in alone]

    def step(params, state, factor):
        state = optimizer.update(params, slope(params), state, factor, None)
        return params, state

    for i in range(5):
        factor = torch.tensor(0.9**i, dtype=torch.double)
        stack, state = torch.vmap(step, in_dims=(0, 0, None))(stack, state, factor)
        for m in range(3):
            alone[m], states[m] = step(alone[m], states[m], factor)
    torch.testing.assert_close(stack, {k: torch.stack([a[k] for a in alone]) for k in stack}, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("spec", ["sgd", "nesterov:decay=0.2", "adam:decay=0.1", "adamw"])
def test_can_be_captured_in_one_graph(spec):
    optimizer, params = optimizers.choose(spec).make(), start()
    state = optimizer.init(params)
    captured = torch.compile(optimizer.update, backend="eager", fullgraph=True)
    for i in range(3):
        captured(params, slope(params), state, torch.tensor(0.9**i, dtype=torch.double), None)
    torch.testing.assert_close(params, run(spec, 3, lambda i: torch.tensor(0.9**i, dtype=torch.double)), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("spec", TWINS)
def test_writes_in_place_and_goes_on_from_saved_state(spec):
    optimizer, params = optimizers.choose(spec).make(), start()
    state = optimizer.init(params)
    before = [t.data_ptr() for t in leaves([params, state])]
    for _ in range(3):
        state = optimizer.update(params, slope(params), state, 1.0, None)
    assert [t.data_ptr() for t in leaves([params, state])] == before
    params, state = clone(params), clone(state)
    for _ in range(4):
        state = optimizers.choose(spec).make().update(params, slope(params), state, 1.0, None)
    torch.testing.assert_close(params, run(spec, 7), rtol=0, atol=0)


@pytest.mark.parametrize("spec", ["sgd", "sgd:momentum=0.9,decay=0.1", "adamw"])
def test_moves_only_what_the_direction_names_and_leaves_the_direction_alone(spec):
    optimizer, params = optimizers.choose(spec).make(), start()
    direction = {"bias": slope(params)["bias"]}
    kept = clone(direction)
    optimizer.update(params, direction, optimizer.init(params), torch.tensor(0.5), None)
    torch.testing.assert_close(params["weight"], start()["weight"], rtol=0, atol=0)
    assert not torch.equal(params["bias"], start()["bias"])
    torch.testing.assert_close(direction, kept, rtol=0, atol=0)


class Count(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.ops: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.ops.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("spec", "ops"), [("sgd", ["_foreach_add_"]), ("momentum", ["_foreach_mul_", "_foreach_add_", "_foreach_add_"])])
def test_plain_steps_are_nothing_but_list_kernels(spec, ops):
    optimizer, params = optimizers.choose(spec).make(), start()
    state, down = optimizer.init(params), slope(params)
    with Count() as count:
        optimizer.update(params, down, state, 1.0, None)
    assert count.ops == ops


@pytest.mark.parametrize(("spec", "words"), [
    ("sgd:rate=0", "sgd expects rate to be a number above 0; got 0.0"), ("adam:rate=-1", "adam expects rate"), ("sgd:rate=nan", "got nan"),
    ("momentum:momentum=1", "sgd expects momentum to be at least 0 and below 1"), ("sgd:nesterov=yes", "momentum, which is 0"),
    ("adamw:decay=-1", "adamw expects decay"), ("adam:beta2=1", "beta2"), ("adam:epsilon=0", "epsilon"),
])
def test_nonsense_is_refused(spec, words):
    with pytest.raises(InputError, match=words):
        optimizers.choose(spec).make()
