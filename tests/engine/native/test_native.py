"""The native plan does eager's steps: every rule, optimizer, loss and activation, nets of all kinds, the same random numbers."""

from __future__ import annotations

import contextlib
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from varied_nets import CLASSES, NETS, Recurrent

from chainrule.core import registry
from chainrule.core.batch import Batch
from chainrule.core.criterion import Solver, Stepwise, Supervised
from chainrule.core.descend import Descend, set_pace
from chainrule.core.errors import InputError, PlanRejected
from chainrule.core.net import Net
from chainrule.core.registry import losses
from chainrule.core.rule import Learner
from chainrule.core.tree import clone, leaves
from chainrule.engine import native
from chainrule.engine.native import compiling
from chainrule.engine.plans.eager import copied, eager
from chainrule.job.by_part import ByPart
from chainrule.job.rule_spec import make_rule
from chainrule.losses.classic import cross_entropy, squared
from chainrule.nets.layers.activation import ACTIVATIONS
from chainrule.optim.first_order import sgd
from chainrule.rules.backprop import backprop

pytestmark = pytest.mark.skipif(not any(map(shutil.which, compiling.COMPILERS)), reason="there is no C compiler on this machine")

FLAGS = compiling.FLAGS
STEPS, ROWS, FEATURES = 4, 12, 6
# Rules of large steps over everything, which eager does as fast; Rule I sorts the sums of its units.
REFUSED = {"closedform": "aten.linalg_qr", "lloyd": "aten.topk", "competitive": "aten.topk", "kohonen-batch": "aten.topk",
           "hebb": "aten.sort", "ridge-readout": "aten.linalg_cholesky_ex",
           "expectation": "aten.topk", "irls": "aten._linalg_eigh", "madaline-i": "aten.sort"}
FIRST = {entry.name: registry.nets.choose(entry.traits.nets[0]).entry.traits for entry in registry.rules.entries() if entry.traits.nets}
SEQUENTIAL = [name for name, traits in FIRST.items() if traits.sequences or traits.kind == "forecaster"]
PICTURED = ("winner-take-all",)  # its net reads pictures, by convolutions of more groups than are written out


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """Programs of these tests are kept among their own temporary files, and most are compiled with less effort; see `optimised`."""
    folder = tmp_path_factory.mktemp("native")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiling, "usual_folder", lambda: folder)
        patch.setattr(compiling, "FLAGS", tuple("-O0" if flag == "-O3" else flag for flag in FLAGS))
        yield


@pytest.fixture
def optimised(monkeypatch):
    monkeypatch.setattr(compiling, "FLAGS", FLAGS)


def wanting(target, dtype=torch.float64):
    """Four batches of the targets that a rule reads."""
    torch.manual_seed(1)
    x, y = torch.rand(STEPS, ROWS, FEATURES, dtype=dtype), torch.randint(CLASSES, (STEPS, ROWS))
    match target:
        case "sign":
            return Batch(x, (y > 0).to(dtype) * 2 - 1)
        case "real":
            return Batch(x, torch.randn(STEPS, ROWS, CLASSES, dtype=dtype))
        case "none":
            return Batch(x, None)
    return Batch(x, y)


def learning(module, *, rule="backprop", loss="cross-entropy", optimizer="sgd:rate=0.1", schedule="constant", constraint=None,
             dtype=torch.float64):
    torch.manual_seed(2)
    made = make_rule(registry.rules.choose(rule), Supervised(losses.choose(loss).make()), registry.optimizers.choose(optimizer),
                     ByPart.read(registry.schedules, schedule), ByPart.read(registry.constraints, constraint) if constraint else None)
    net = Net.of(module.to(dtype))
    state = clone(made.init(net))
    set_pace(state, {"done": 7.0, "each": 1.0, "whole": 99.0})
    return made.step, Learner(net, state)


def mlp(spec="mlp:hidden=5x4", outputs=CLASSES):
    torch.manual_seed(0)
    return registry.nets.choose(spec).make((FEATURES,), outputs)


def same(step, learner, batches, *, threads=1, tolerance=1e-10):
    """The native program, which is returned, leaves the learner, the reports and the generator as eager steps do."""
    mine, theirs = copied(learner), copied(learner)
    advance = native.build(step, copied(learner), batches, threads)
    torch.manual_seed(5)
    mine, reports = advance(mine, batches)
    drawn = torch.get_rng_state()
    torch.manual_seed(5)
    theirs, expected = eager(step)(theirs, batches)
    assert torch.equal(drawn, torch.get_rng_state()), "the generator was left elsewhere"
    near = partial(torch.testing.assert_close, rtol=tolerance, atol=tolerance)
    near(reports, clone(expected))
    near(clone([mine.net.tensors, mine.state]), clone([theirs.net.tensors, theirs.state]))
    before = clone([learner.net.tensors, learner.state])
    assert any(not torch.equal(a, b) for a, b in zip(leaves(before), leaves([mine.net.tensors, mine.state]), strict=True)), "nothing moved"
    return advance


class Side:
    """Several learners that learn side by side, as one step: many programs for one call of the compiler."""

    def __init__(self, **learning):
        self.steps = {name: step for name, (step, _) in learning.items()}
        self.nets = {name: one.net for name, (_, one) in learning.items()}
        state = {name: {"params": clone(one.net.params), "buffers": clone(one.net.buffers), "state": clone(one.state)}
                 for name, (_, one) in learning.items()}
        self.learner = Learner(Net(nn.Module(), {}, {}), state)

    def step(self, _, state, batch):
        after, reports = {}, {}
        for name, one in state.items():
            held = self.nets[name]
            net = Net(held.module, dict(one["params"]), dict(one["buffers"]), caller=held.caller)
            net, own, report = self.steps[name](net, dict(one["state"]), batch)
            after[name] = {"params": net.params, "buffers": net.buffers, "state": own}
            reports |= {f"{name} {what}": value for what, value in report.items()}
        return _, after, reports


@pytest.mark.usefixtures("optimised")
def test_steps_are_gradient_descent_on_paper():
    """Second derivation: linear least squares in NumPy, w <- w - rate * mean((xw + b - y) x)."""
    torch.manual_seed(0)
    net, x, y = Net.of(nn.Linear(3, 1).double()), torch.randn(4, 8, 3, dtype=torch.float64), torch.randn(4, 8, 1, dtype=torch.float64)
    w, b = net.params["weight"].detach().numpy().T.copy(), net.params["bias"].detach().numpy().copy()
    rule = Descend(partial(backprop, criterion=Supervised(squared())), sgd(rate=0.1))
    learner = Learner(net, rule.init(net))
    _, reports = native.build(rule.step, learner, Batch(x, y), 1)(learner, Batch(x, y))
    for i, (features, target) in enumerate(zip(x.numpy(), y.numpy(), strict=True)):
        off = features @ w + b - target
        assert float(reports["loss"][i]) == pytest.approx(0.5 * float((off**2).mean()), rel=1e-12)
        w, b = w - 0.1 * features.T @ off / len(off), b - 0.1 * off.mean(0)
    np.testing.assert_allclose(net.params["weight"].detach().numpy(), w.T, rtol=1e-12)
    np.testing.assert_allclose(net.params["bias"].detach().numpy(), b, rtol=1e-12)


CARRYING = [n for n in registry.rules.names() if registry.rules.find(n).traits.carries]


@pytest.mark.parametrize("name", [n for n in registry.rules.names() if n not in (*REFUSED, *CARRYING, *PICTURED, *SEQUENTIAL)])
def test_every_rule(name):
    traits = registry.rules.find(name).traits
    outputs, loss = (1, "perceptron") if traits.target == "sign" else (CLASSES, "cross-entropy")
    module = mlp((traits.nets or ("mlp:hidden=5,dropout=0.2",))[0], outputs)
    same(*learning(module, rule=name, loss=loss, optimizer="adam:rate=0.01", schedule="cosine"), wanting(traits.target))


def test_parts_with_optimizers_schedules_and_constraints_of_their_own():
    rule = "adversarial:generator=(adamw:rate=0.01,decay=0.1),discriminator=momentum:rate=0.05"
    step, learner = learning(mlp("gan:hidden=5"), rule=rule, schedule="cosine+discriminator=linear",
                             constraint="discriminator=max-norm:0.4")
    same(step, learner, wanting("none"))


@pytest.mark.parametrize("name", CARRYING)
def test_rules_that_carry_state_from_window_to_window(name):
    times = 5
    torch.manual_seed(1)
    fresh = torch.zeros(STEPS, ROWS, dtype=torch.bool)
    fresh[0] = fresh[2, :3] = True
    x = torch.rand(STEPS, ROWS, times, FEATURES, dtype=torch.float64)
    batches = Batch(x, torch.randint(CLASSES, (STEPS, ROWS, times)), fresh=fresh)
    module = registry.nets.choose(f"{registry.rules.find(name).traits.nets[0]}:hidden=7").make((times, FEATURES), CLASSES)
    criterion = Stepwise(losses.choose("cross-entropy").make())
    rule = make_rule(registry.rules.choose(name), criterion, registry.optimizers.choose("sgd:rate=0.1"), None, lanes=ROWS)
    net = Net.of(module.double())
    same(rule.step, Learner(net, clone(rule.init(net))), batches)


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_rules_of_whole_sequences_do_the_same_or_are_refused(name):
    torch.manual_seed(1)
    x = torch.rand(STEPS, ROWS, 5, FEATURES, dtype=torch.float64)
    traits = registry.rules.find(name).traits
    module = registry.nets.choose(traits.nets[0]).make((5, FEATURES), 0 if traits.target == "none" else CLASSES)
    with contextlib.suppress(PlanRejected):
        same(*learning(module, rule=name, loss="squared"), wanting(traits.target).with_inputs(x))


@pytest.mark.parametrize("name", REFUSED)
def test_rules_of_other_operations_are_refused_by_name(name):
    traits = registry.rules.find(name).traits
    module = mlp((traits.nets or ("mlp:hidden=5,dropout=0.2",))[0], 1 if traits.target == "sign" else CLASSES)
    with pytest.raises(PlanRejected, match=f"native does not know {REFUSED[name]}"):
        same(*learning(module, rule=name, loss="squared"), wanting(traits.target))


def test_every_optimizer_and_schedule():
    followers = [entry.name for entry in registry.optimizers.entries() if not isinstance(entry.make(), Solver)]
    specs = [*followers, "sgd:rate=0.1,momentum=0.9,nesterov=yes,decay=0.1", "adamw:decay=0.1,beta1=0"]
    side = Side(**{f"{spec} {schedule}": learning(mlp("mlp:hidden=5"), optimizer=spec, schedule=schedule) for spec in specs
                   for schedule in (["cosine"] if ":" in spec else ["constant"])},
                **{name: learning(mlp("mlp:hidden=4"), schedule=name) for name in registry.schedules.names()})
    same(side.step, side.learner, wanting("class"))


def test_every_activation_and_loss():
    activations = {f"of {name}": learning(mlp(f"mlp:hidden=5x4,activation={name}")) for name in ACTIVATIONS}
    classes = {name: learning(mlp(), loss=name) for name in losses.names() if "class" in losses.find(name).make().targets}
    side = Side(**activations, **classes, smooth=learning(mlp(), loss="cross-entropy:smoothing=0.1"))
    same(side.step, side.learner, wanting("class"))
    real = Side(**{name: learning(mlp(), loss=name) for name in ("absolute", "huber", "squared")})
    same(real.step, real.learner, wanting("real"))


def test_penalties_a_limit_weights_and_what_rules_may_do_besides():
    batches = wanting("class")
    batches = Batch(batches.x, batches.y, torch.rand(STEPS, ROWS, dtype=torch.float64))
    side = Side(penalised=learning(mlp(), rule="backprop:l1=0.01,l2=0.1,clip=0.5"),
                adam=learning(mlp(), rule="backprop:l2=0.1,clip=0.01", optimizer="adam"), plain=learning(mlp(), loss="squared"),
                perceptron=learning(mlp("linear"), rule="perceptron"),
                adaline=learning(mlp("linear"), rule="adaline:normalised=yes", loss="squared"))
    same(side.step, side.learner, batches)


@pytest.mark.parametrize("units", ["binary", "gaussian"])
def test_machines_that_draw_draw_as_eager_does(units):
    spec = "divergence:persistent=yes,chains=5,steps=2"
    same(*learning(mlp(f"rbm:hidden=5,units={units}"), rule=spec, optimizer="sgd:rate=0.1,momentum=0.5"), wanting("none"))


def test_more_draws_than_are_held_at_once(monkeypatch):
    monkeypatch.setattr("chainrule.engine.native.program.DRAWN_BYTES", 8 * ROWS * 9 * 2)
    advance = same(*learning(mlp("mlp:hidden=5x4,dropout=0.3")), wanting("class"))
    assert advance.__self__.at_once == 2


@pytest.mark.parametrize("name", NETS)
def test_nets_of_all_kinds(name):
    torch.manual_seed(0)
    module, shape = NETS[name]()
    step, learner = learning(module, optimizer="momentum:rate=0.05")
    x = torch.randint(11, (STEPS, 8, 5)) if shape is None else torch.randn(STEPS, 8, *shape, dtype=torch.float64)
    same(step, learner, Batch(x, torch.randint(CLASSES, (STEPS, 8))))


@pytest.mark.parametrize("threads", [1, 2])
def test_single_precision_and_threads_within_rounding(threads):
    torch.manual_seed(0)
    module = registry.nets.choose("lenet:filters=4x6,hidden=40").make((1, 28, 28), CLASSES)
    step, learner = learning(module, dtype=torch.float32)
    batches = Batch(torch.rand(3, 40, 1, 28, 28), torch.randint(CLASSES, (3, 40)))
    advance = same(step, learner, batches, threads=threads, tolerance=1e-5)
    once, again = (advance(copied(learner), batches)[0] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(leaves(once.net.tensors), leaves(again.net.tensors), strict=True)), "not repeatable"


@pytest.mark.parametrize(("spec", "optimizer"), [("mlp:hidden=5x4", "sgd:rate=0.1"), ("mlp:hidden=5,dropout=0.3", "adam")])
def test_members_of_a_stack(spec, optimizer):
    rule = make_rule(registry.rules.choose("backprop"), Supervised(cross_entropy()), registry.optimizers.choose(optimizer),
                     ByPart.read(registry.schedules, "constant"))
    nets = []
    for seed in range(3):
        torch.manual_seed(seed)
        nets.append(Net.of(registry.nets.choose(spec).make((FEATURES,), CLASSES).double()))
    stack = Net.stack(nets)
    step = torch.vmap(rule.step, in_dims=(0, 0, None), randomness="different")
    same(step, Learner(stack, clone(torch.vmap(rule.init)(stack))), wanting("class"))


OVERWRITTEN = {  # new values of a state {"a": (4, 4), "b": (4, 4)} that read old ones in every order
    "swapped": lambda a, b, x: {"a": b, "b": a},
    "turned": lambda a, b, x: {"a": a.t(), "b": b},
    "squared": lambda a, b, x: {"a": a @ a, "b": b + a},
    "in a row": lambda a, b, x: {"a": a + b, "b": b + a @ x},
    "onto": lambda a, b, x: {"a": a - 0.1 * (x @ x.t()), "b": b * 0.5 + x @ a},
    "onto, turned": lambda a, b, x: {"a": a - 0.1 * (x @ b).t(), "b": a + b},
    "by a scalar": lambda a, b, x: {"a": a + (x @ b) * x.sum() * 2, "b": b},
    "onto itself": lambda a, b, x: {"a": a + x @ a, "b": b - a.t() @ b},
    "the same": lambda a, b, x: {"a": x, "b": x},
    "rows": lambda a, b, x: {"a": a - a.sum(0), "b": b - b.sum(1, keepdim=True)},
    "shifted": lambda a, b, x: {"a": torch.cat([x[:1], a[:-1]]), "b": a},
}


def test_new_values_never_overwrite_old_ones_that_are_still_read():
    def step(net, state, batch):
        after = {name: f(**state[name], x=batch.x) for name, f in OVERWRITTEN.items()}
        return net, after, {name: after[name]["a"].sum() + old["b"][0, 0] for name, old in state.items()}

    torch.manual_seed(0)
    state = {name: {"a": torch.randn(4, 4, dtype=torch.float64), "b": torch.randn(4, 4, dtype=torch.float64)} for name in OVERWRITTEN}
    same(step, Learner(Net(nn.Module(), {}, {}), state), Batch(torch.randn(3, 4, 4, dtype=torch.float64) * 0.5))


def test_a_gradient_that_only_moves_its_parameter_is_never_written_out():
    """The product adds onto the parameter: its memory is read and written once a step."""
    step, learner = learning(mlp("mlp:hidden=5"), loss="squared")
    text = native.build(step, learner, wanting("class"), 1).__self__.text
    assert text.count("aten.mm.default, aten.add.Tensor") == 2


def test_repeated_work_is_one_function():
    torch.manual_seed(0)
    texts = []
    for t in (4, 5):
        batches = Batch(torch.randn(1, 3, t, 4, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.int64))
        texts.append(native.build(*learning(Recurrent(nn.RNN)), batches, 1).__self__.text)
    assert texts[0].count("static CR_KERNEL") == texts[1].count("static CR_KERNEL")


def test_tracing_touches_neither_the_learner_nor_the_generator():
    step, learner = learning(nn.Sequential(nn.Linear(FEATURES, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, CLASSES)))
    batches = wanting("class")
    before, drawn = clone([learner.net.tensors, learner.state]), torch.get_rng_state()
    native.build(step, learner, batches, 1)
    assert torch.equal(drawn, torch.get_rng_state())
    for a, b in zip(leaves(before), leaves([learner.net.tensors, learner.state]), strict=True):
        assert torch.equal(a, b)


def test_another_shape_is_refused_before_anything_is_touched():
    step, learner = learning(mlp())
    batches = wanting("class")
    advance = native.build(step, learner, batches, 1)
    with pytest.raises(InputError, match="batches of another shape"):
        advance(learner, Batch(batches.x[:, :5], batches.y[:, :5]))
    with pytest.raises(InputError, match="a learner of other shapes"):
        advance(learning(mlp("mlp:hidden=7"))[1], batches)


def test_a_class_that_does_not_exist_is_an_error():
    step, learner = learning(mlp())
    batches = wanting("class")
    advance = native.build(step, learner, batches, 1)
    batches.y[2, 1] = CLASSES
    with pytest.raises(IndexError, match="step 3 of this chunk"):
        advance(learner, batches)


def test_without_a_compiler_the_plan_is_refused(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PlanRejected, match=r"there is no C compiler on this machine"):
        native.build(*learning(mlp()), wanting("class"), 1)
