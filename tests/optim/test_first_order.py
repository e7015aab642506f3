"""Optimizers against torch.optim step by step, those that torch has not against their papers weight by weight, and in every form the
engine calls them."""

import math

import pytest
import torch
from torch import optim
from torch.utils._python_dispatch import TorchDispatchMode

from chainrule.core.criterion import Solver
from chainrule.core.errors import InputError
from chainrule.core.registry import optimizers
from chainrule.core.tree import clone, leaves
from chainrule.optim.muon import orthogonal


def by_rank(p, muon, adamw):
    """Muon for matrices, AdamW for the rest."""
    return [optim.Muon([q for q in p if q.dim() == 2], **muon), optim.AdamW([q for q in p if q.dim() != 2], **adamw)]


ASIDE = {"lr": 3e-4, "betas": (0.9, 0.95), "eps": 1e-10, "weight_decay": 0.0}  # of Muon, for what is no matrix
TWINS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "sgd:rate=0.03,decay=0.1": lambda p: optim.SGD(p, lr=0.03, weight_decay=0.1),
    "sgd:momentum=0.9": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "sgd:momentum=0.9,dampening=0.3,decay=0.1": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.1),
    "sgd:momentum=0.8,nesterov=yes,decay=0.05": lambda p: optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.05),
    "momentum:rate=0.03,momentum=0.6": lambda p: optim.SGD(p, lr=0.03, momentum=0.6),
    "momentum:momentum=0.8,initial=0.6,until=9999": lambda p: optim.SGD(p, lr=0.1, momentum=0.6),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "momentum:decay=0.2": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.2),
    "nesterov:rate=0.03": lambda p: optim.SGD(p, lr=0.03, momentum=0.9, nesterov=True),
    "nesterov:momentum=0.7": lambda p: optim.SGD(p, lr=0.1, momentum=0.7, nesterov=True),
    "nesterov:decay=0.2": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.2),
    "adam": lambda p: optim.Adam(p, lr=0.001),
    "adam:rate=0.1,beta1=0.7,beta2=0.9,epsilon=0.01,decay=0.1":
        lambda p: optim.Adam(p, lr=0.1, betas=(0.7, 0.9), eps=0.01, weight_decay=0.1),
    "adam:rate=0.1,beta1=0": lambda p: optim.Adam(p, lr=0.1, betas=(0.0, 0.999)),
    "adam:rate=0.1,beta2=0.9,amsgrad=yes": lambda p: optim.Adam(p, lr=0.1, betas=(0.9, 0.9), amsgrad=True),
    "adamw:rate=0.1,beta1=0.7,epsilon=0.01": lambda p: optim.AdamW(p, lr=0.1, betas=(0.7, 0.999), eps=0.01),
    "adamw": lambda p: optim.AdamW(p, lr=0.001),
    "adamw:rate=0.1,decay=0.3": lambda p: optim.AdamW(p, lr=0.1, weight_decay=0.3),
    "adamw:rate=0.1,beta2=0.9,amsgrad=yes": lambda p: optim.AdamW(p, lr=0.1, betas=(0.9, 0.9), amsgrad=True),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.01),
    "adagrad:rate=0.2,slowing=0.1": lambda p: optim.Adagrad(p, lr=0.2, lr_decay=0.1),
    "adagrad:rate=0.2,initial=0.5,epsilon=0.01,decay=0.1":
        lambda p: optim.Adagrad(p, lr=0.2, initial_accumulator_value=0.5, eps=0.01, weight_decay=0.1),
    "adadelta": lambda p: optim.Adadelta(p, lr=1.0, rho=0.95, eps=1e-6),
    "adadelta:rate=0.7,beta=0.6,epsilon=0.01,decay=0.1": lambda p: optim.Adadelta(p, lr=0.7, rho=0.6, eps=0.01, weight_decay=0.1),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01),
    "rmsprop:rate=0.02,beta=0.7,epsilon=0.1,decay=0.1": lambda p: optim.RMSprop(p, lr=0.02, alpha=0.7, eps=0.1, weight_decay=0.1),
    "rmsprop:momentum=0.8": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.8),
    "rmsprop:centered=yes": lambda p: optim.RMSprop(p, lr=0.01, centered=True),
    "rmsprop:momentum=0.8,centered=yes,beta=0.9": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.8, centered=True, alpha=0.9),
    "rprop": lambda p: optim.Rprop(p, lr=0.01),
    "rprop:rate=0.3,up=1.5,down=0.3,least=0.02,most=0.4": lambda p: optim.Rprop(p, lr=0.3, etas=(0.3, 1.5), step_sizes=(0.02, 0.4)),
    "muon": lambda p: by_rank(p, {"lr": 0.02, "weight_decay": 0.0}, ASIDE),
    "muon:nesterov=no,momentum=0.8,decay=0.2":
        lambda p: by_rank(p, {"lr": 0.02, "weight_decay": 0.2, "nesterov": False, "momentum": 0.8}, ASIDE | {"weight_decay": 0.2}),
    "muon:rate=0.1,scale=match-rms,rounds=3,coefficients=3x-3.2x1.2,rest=0.01,beta1=0.5,beta2=0.8,epsilon=0.1":
        lambda p: by_rank(p, {"lr": 0.1, "weight_decay": 0.0, "adjust_lr_fn": "match_rms_adamw", "ns_steps": 3,
                              "ns_coefficients": (3, -3.2, 1.2)}, {"lr": 0.01, "betas": (0.5, 0.8), "eps": 0.1, "weight_decay": 0.0}),
}


def start() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {"weight": torch.randn(4, 3, dtype=torch.double), "bias": torch.randn(4, dtype=torch.double)}


def value(params: dict[str, torch.Tensor]) -> torch.Tensor:
    """The sum of w^4 / 4 - cos w: its gradient is not linear."""
    return sum((p**4 / 4 - p.cos()).sum() for p in params.values())


def slope(params: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k: p.detach() ** 3 + p.detach().sin() for k, p in params.items()}


def run(spec: str, steps: int, factors=lambda i: 1.0) -> dict[str, torch.Tensor]:
    optimizer, params = optimizers.choose(spec).make(), start()
    state = optimizer.init(params)
    for i in range(steps):
        state = optimizer.update(params, slope(params), state, factors(i), value(params))
    return params


FACTORS = {"constant": lambda i: 1.0, "number": lambda i: 0.9**i, "tensor": lambda i: torch.tensor(0.9**i, dtype=torch.double)}


@pytest.mark.parametrize(("spec", "factors"), [(spec, name) for spec in TWINS for name in FACTORS
                                               if name == "constant" or not spec.startswith("rprop")])  # torch's is deaf to them
def test_twenty_steps_are_those_of_torch(spec, factors, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)  # torch's Muon rounds to it inside
    theirs, factor = start(), FACTORS[factors]
    twins = TWINS[spec](list(theirs.values()))
    twins = twins if isinstance(twins, list) else [twins]
    rates = [twin.param_groups[0]["lr"] for twin in twins]
    for i in range(20):
        for p, g in zip(theirs.values(), slope(theirs).values()):
            p.grad = g
        for twin, rate in zip(twins, rates):
            twin.param_groups[0]["lr"] = rate * float(factor(i))
            twin.step()
    ours = run(spec, 20, factor)
    assert all((p - q).abs().max() > 1e-3 for p, q in zip(ours.values(), start().values()))
    torch.testing.assert_close(ours, {k: p.detach() for k, p in theirs.items()}, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(("plain", "asked"), [
    ("adam:rate=0.1,beta2=0.9", "adam:rate=0.1,beta2=0.9,amsgrad=yes"),
    ("adamw:rate=0.1,beta2=0.9", "adamw:rate=0.1,beta2=0.9,amsgrad=yes"),
    ("rmsprop", "rmsprop:centered=yes"), ("muon", "muon:nesterov=no"), ("sgd:momentum=0.9", "sgd:momentum=0.9,dampening=0.3")])
def test_twenty_steps_are_enough_to_tell_an_option(plain, asked):
    assert (run(plain, 20)["weight"] - run(asked, 20)["weight"]).abs().max() > 1e-3


def by_irprop(w, rate=0.0125, up=1.2, down=0.5, least=0.0, most=50.0, factors=None):
    """Igel & Huesken (2000), the four lines of iRprop+, weight by weight."""
    size, before, move, last, seen = [rate] * len(w), [0.0] * len(w), [0.0] * len(w), math.inf, set()
    for factor in factors:
        loss, g = sum(v**4 / 4 - math.cos(v) for v in w), [v**3 + math.sin(v) for v in w]
        for i in range(len(w)):
            if before[i] * g[i] > 0:
                size[i] = min(size[i] * up, most)
            elif before[i] * g[i] < 0:
                size[i] = max(size[i] * down, least)
                seen.add("back" if loss > last else "stay")
                if loss > last:
                    w[i] -= move[i]
                g[i] = 0.0
            if g[i]:
                move[i] = -math.copysign(factor * size[i], g[i])
                w[i] += move[i]
            before[i] = g[i]
        last = loss
    assert seen == {"back", "stay"}
    return w


def by_rprop(w, rate=0.01, factors=None):
    """Riedmiller & Braun (1993), with the moves alone scaled."""
    size, before = [rate] * len(w), [0.0] * len(w)
    for factor in factors:
        for i, v in enumerate(w):
            g = v**3 + math.sin(v)
            if before[i] * g < 0:
                size[i], g = max(0.5 * size[i], 1e-6), 0.0
            elif before[i] * g > 0:
                size[i] = min(1.2 * size[i], 50.0)
            w[i] -= factor * size[i] * ((g > 0) - (g < 0))
            before[i] = g
    return w


def by_delta_bar_delta(w, rate=0.01, grow=0.05, shrink=0.1, memory=0.7, factors=None):
    """Jacobs (1988), equations 3 to 6: kappa is grow * rate, phi shrink, theta memory."""
    rates, bar, seen = [rate] * len(w), [0.0] * len(w), set()
    for factor in factors:
        for i, v in enumerate(w):
            delta = v**3 + math.sin(v)
            if bar[i] * delta > 0:
                rates[i] += grow * rate
            elif bar[i] * delta < 0:
                rates[i] -= shrink * rates[i]
                seen.add("shrunk")
            bar[i] = (1 - memory) * delta + memory * bar[i]
            w[i] -= factor * rates[i] * delta
    assert seen
    return w


def by_bold_driver(w, rate=0.1, up=1.05, down=0.5, factors=None):
    """Vogl et al. (1988): the step is taken, looked at, and kept or taken anew, half as long."""
    def loss(w):
        return sum(v**4 / 4 - math.cos(v) for v in w)

    def moved(w, rate):
        return [v - rate * (v**3 + math.sin(v)) for v in w]

    best, rejected, there = w, 0, moved(w, factors[0] * rate)
    for factor in factors[1:]:
        if loss(there) <= loss(best):
            best, rate = there, rate * up
        else:
            rate, rejected = rate * down, rejected + 1
        there = moved(best, factor * rate)
    assert 0 < rejected < len(factors) - 1
    return there


PAPERS = {
    "irprop:rate=0.4": lambda w, f: by_irprop(w, rate=0.4, factors=f),
    "irprop:rate=0.3,up=1.5,down=0.3,least=0.01,most=0.5": lambda w, f: by_irprop(w, 0.3, 1.5, 0.3, 0.01, 0.5, f),
    "rprop:rate=0.2": lambda w, f: by_rprop(w, rate=0.2, factors=f),
    "delta-bar-delta:rate=0.4": lambda w, f: by_delta_bar_delta(w, rate=0.4, factors=f),
    "delta-bar-delta:rate=0.3,grow=0.2,shrink=0.4,memory=0.5": lambda w, f: by_delta_bar_delta(w, 0.3, 0.2, 0.4, 0.5, f),
    "bold-driver:rate=0.5": lambda w, f: by_bold_driver(w, rate=0.5, factors=f),
    "bold-driver:rate=0.02,up=1.6,down=0.2": lambda w, f: by_bold_driver(w, 0.02, 1.6, 0.2, f),
}
SPECS = {**TWINS, **PAPERS}
ONE_EACH = {spec.split(":")[0]: spec for spec in SPECS}  # the last, with most options
EVERY = [*dict.fromkeys([*ONE_EACH.values(), "sgd", "nesterov:decay=0.2", "adam:decay=0.1", "rmsprop", "sgd:momentum=0.9,decay=0.1"])]


def test_every_option_of_every_one_of_them_is_given_to_its_twin():
    """By some spec, with another value than its own: an option that no spec names would be compared with no one."""
    for entry in optimizers.entries():
        if entry.name in ONE_EACH:
            tried = {name for spec in SPECS if spec.split(":")[0] == entry.name for name, value in optimizers.choose(spec).options.items()
                     if value != entry.options[name].default}
            assert tried == set(entry.options), entry.name


def test_every_optimizer_that_is_no_solver_has_a_twin():
    assert set(ONE_EACH) == {e.name for e in optimizers.entries() if not isinstance(e.make(), Solver)}
    assert all(optimizers.find(name).source for name in ONE_EACH)
    whole = {name for name in ONE_EACH if optimizers.find(name).traits.reads == "everything"}
    assert whole == {"rprop", "irprop", "delta-bar-delta", "bold-driver"}


@pytest.mark.parametrize("base", [1.0, 0.95])
@pytest.mark.parametrize("spec", PAPERS)
def test_twenty_steps_are_those_of_the_paper(spec, base):
    factors = [base**i for i in range(20)]
    theirs = PAPERS[spec](torch.cat([p.flatten() for p in start().values()]).tolist(), factors)
    ours = torch.cat([p.flatten() for p in run(spec, 20, lambda i: factors[i]).values()])
    torch.testing.assert_close(ours, torch.tensor(theirs, dtype=torch.double), rtol=1e-10, atol=1e-11)


def test_a_loss_that_is_not_a_number_is_stepped_back_from():
    driver, w = optimizers.choose("bold-driver:rate=1").make(), {"w": torch.tensor([1.0])}
    state = driver.init(w)
    for slope_, loss, expected in [(2.0, 5.0, -1.0), (math.nan, math.nan, 0.0), (math.inf, math.inf, 0.5), (1.0, 4.0, 0.2375)]:
        state = driver.update(w, {"w": torch.tensor([slope_])}, state, 1.0, torch.tensor(loss))
        assert w["w"].item() == pytest.approx(expected)  # rates 1, 1/2, 1/4, and from 0.5 on 1.05 / 4


def test_newton_and_schulz_pull_singular_values_to_one():
    """Second derivation: the same polynomial of the singular values, by SVD. Shapes tall and wide; torch's own, rounded to bfloat16."""
    torch.manual_seed(0)
    for shape in [(6, 4), (4, 6), (5, 5)]:
        matrix = torch.randn(shape, dtype=torch.double)
        u, s, v = torch.linalg.svd(matrix / matrix.norm(), full_matrices=False)
        for _ in range(5):
            s = 3.4445 * s - 4.775 * s**3 + 2.0315 * s**5
        ours = orthogonal(matrix, 5, (3.4445, -4.775, 2.0315))
        torch.testing.assert_close(ours, u @ torch.diag(s) @ v, rtol=1e-9, atol=1e-10)
        assert 0.6 < s.min() < s.max() < 1.3
        theirs = torch.optim._muon._zeropower_via_newtonschulz(matrix, (3.4445, -4.775, 2.0315), 5, 1e-7)
        torch.testing.assert_close(ours, theirs.double(), rtol=0.05, atol=0.05)
    assert orthogonal(torch.zeros(3, 2), 5, (3.4445, -4.775, 2.0315)).abs().max() == 0


@pytest.mark.parametrize("spec", SPECS)
def test_a_member_of_a_stack_moves_as_it_does_alone(spec):
    optimizer = optimizers.choose(spec).make()
    stack = {k: torch.stack([p, -2 * p, p + 1]) for k, p in start().items()}
    alone = [{k: p[i].clone() for k, p in stack.items()} for i in range(3)]
    state = clone(torch.vmap(optimizer.init)(stack))
    states = [optimizer.init(params) for params in alone]

    def step(params, state, factor):
        state = optimizer.update(params, slope(params), state, factor, value(params))
        return params, state

    for i in range(5):
        factor = torch.tensor(0.9**i, dtype=torch.double)
        stack, state = torch.vmap(step, in_dims=(0, 0, None))(stack, state, factor)
        for m in range(3):
            alone[m], states[m] = step(alone[m], states[m], factor)
    torch.testing.assert_close(stack, {k: torch.stack([a[k] for a in alone]) for k in stack}, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("spec", ONE_EACH.values())
def test_members_may_differ_in_every_number(spec):
    """`init` does not know the members' numbers, as in the engine: it is made of the spec as it stands."""
    chosen = optimizers.choose(spec)
    given = {name: chosen.options.get(name, option.default) for name, option in chosen.entry.options.items()}
    plain = {name: number for name, number in given.items() if isinstance(number, float) and number}
    own = [{name: number * (1 + 0.07 * m if name == "up" else 1 - 0.07 * m) for name, number in plain.items()} for m in range(3)]
    numbers = {name: torch.tensor([o[name] for o in own], dtype=torch.double) for name in plain}
    stack = {k: torch.stack([p, -p, p / 2]) for k, p in start().items()}
    alone = [{k: p[i].clone() for k, p in stack.items()} for i in range(3)]
    state = clone(torch.vmap(chosen.make().init)(stack))

    def step(params, state, numbers):
        return params, chosen.entry.make(**{**given, **numbers}).update(params, slope(params), state, 1.0, value(params))

    made = [chosen.entry.make(**{**given, **o}) for o in own]
    states = [optimizer.init(params) for optimizer, params in zip(made, alone)]
    for _ in range(8):
        stack, state = torch.vmap(step)(stack, state, numbers)
        for m in range(3):
            states[m] = made[m].update(alone[m], slope(alone[m]), states[m], 1.0, value(alone[m]))
    torch.testing.assert_close(stack, {k: torch.stack([a[k] for a in alone]) for k in stack}, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("spec", EVERY)
def test_can_be_captured_in_one_graph(spec):
    optimizer, params = optimizers.choose(spec).make(), start()
    state = optimizer.init(params)
    captured = torch.compile(optimizer.update, backend="eager", fullgraph=True)
    for i in range(3):
        captured(params, slope(params), state, torch.tensor(0.9**i, dtype=torch.double), value(params))
    torch.testing.assert_close(params, run(spec, 3, lambda i: torch.tensor(0.9**i, dtype=torch.double)), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("spec", SPECS)
def test_writes_in_place_and_goes_on_from_saved_state(spec):
    optimizer, params = optimizers.choose(spec).make(), start()
    state = optimizer.init(params)
    before = [t.data_ptr() for t in leaves([params, state])]
    for _ in range(3):
        state = optimizer.update(params, slope(params), state, 1.0, value(params))
    assert [t.data_ptr() for t in leaves([params, state])] == before
    params, state = clone(params), clone(state)
    for _ in range(4):
        state = optimizers.choose(spec).make().update(params, slope(params), state, 1.0, value(params))
    torch.testing.assert_close(params, run(spec, 7), rtol=0, atol=0)


@pytest.mark.parametrize("spec", EVERY)
def test_moves_only_what_the_direction_names_and_leaves_the_direction_alone(spec):
    optimizer, params = optimizers.choose(spec).make(), start()
    direction = {"bias": slope(params)["bias"]}
    kept = clone(direction)
    optimizer.update(params, direction, optimizer.init(params), torch.tensor(0.5), value(params))
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
    ("sgd:rate=0", "sgd expects rate to be a number above 0; got 0.0"), ("adam:rate=-1", "adam expects rate"),
    ("sgd:rate=nan", "got 'nan'"),
    ("momentum:momentum=1", "sgd expects momentum to be at least 0 and below 1"), ("sgd:nesterov=yes", "momentum, which is 0"),
    ("adamw:decay=-1", "adamw expects decay"), ("adam:beta2=1", "beta2"), ("adam:epsilon=0", "epsilon"),
    ("sgd:dampening=0.1", "dampens what enters a momentum above 0"), ("sgd:momentum=0.9,nesterov=yes,dampening=0.1", "does not look ahead"),
    ("adagrad:slowing=-1", "adagrad expects slowing to be a number at least 0"), ("adadelta:beta=1", "adadelta expects beta"),
    ("rmsprop:momentum=-0.1", "rmsprop expects momentum"), ("rprop:up=0.9", "up to be at least 1"), ("irprop:down=1", "down to be below 1"),
    ("rprop:least=3,most=2", "no longer than most"), ("bold-driver:down=0", "bold-driver expects down"),
    ("bold-driver:up=0.5", "up to be at least 1"), ("delta-bar-delta:shrink=1", "shrink"), ("muon:rest=0", "muon expects rest"),
    ("muon:rounds=0", "at least one round"), ("muon:coefficients=1x2", "three coefficients"),
])
def test_nonsense_is_refused(spec, words):
    with pytest.raises(InputError, match=words):
        optimizers.choose(spec).make()


@pytest.mark.parametrize("name", ["irprop", "bold-driver"])
def test_a_rule_without_a_loss_cannot_be_driven_by_it(name):
    optimizer, params = optimizers.choose(name).make(), start()
    with pytest.raises(InputError, match=f"{name} compares losses"):
        optimizer.update(params, slope(params), optimizer.init(params), 1.0, None)


def test_momentum_begins_lower_where_that_is_asked_for():
    """Hinton (2010), section 9: 0.5 for the first steps, 0.9 from then on; written out, on a quadratic."""
    optimizer = optimizers.choose("momentum:rate=0.1,momentum=0.9,initial=0.5,until=3,decay=0.2").make()
    params = {"w": torch.tensor([1.0, -2.0], dtype=torch.double)}
    state, w, v = optimizer.init(params), params["w"].clone(), torch.zeros(2, dtype=torch.double)
    for step in range(6):
        v = (0.5 if step < 3 else 0.9) * v + 3 * w + 0.2 * w
        w = w - 0.1 * 0.7 * v
        state = optimizer.update(params, {"w": 3 * params["w"]}, state, 0.7, None)
        torch.testing.assert_close(params["w"], w)
    with pytest.raises(InputError, match="until to be at least 1"):
        optimizers.choose("momentum:initial=0.5,until=0").make()
    with pytest.raises(InputError, match="initial to be at least 0 and below 1"):
        optimizers.choose("momentum:initial=1.5").make()
