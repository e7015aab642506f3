"""Every solver: a bowl and a valley within its number of passes, the contract of rules, one surface a step, and what it refuses."""

import math

import pytest
import torch
from tiny import through_a_checkpoint
from torch import nn
from valley import Valley

from chainrule.core.batch import Batch
from chainrule.core.criterion import Objective, Solve, Solver, Supervised
from chainrule.core.descend import set_pace
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import losses, optimizers, rules, schedules
from chainrule.core.rule import Learner
from chainrule.core.tree import clone, leaves
from chainrule.engine.plans.eager import eager
from chainrule.job.by_part import ByPart
from chainrule.job.rule_spec import make_rule
from chainrule.optim.solvers.curvature import Surface, flat, within

# Passes over the data, a product with the Gauss-Newton matrix counted as two, within which each is to be at most 1e-6 from the bottom.
# On the bowl lbfgs and conjugate depend on how sums are rounded: starts moved by 1e-14 gave 959 to 1161 and 468 to 1142 passes; descent by
# the slope alone would take 1e4 ln(1e6) / 2, 69,000. The others, and all in the valley, took the same number from each, give or take six.
BOWL = {"lbfgs": ("lbfgs", 1600), "newton": ("newton", 2), "conjugate": ("conjugate", 1600), "levenberg": ("levenberg", 20),
        "gauss-newton": ("gauss-newton", 2), "hessian-free": ("hessian-free:damping=0.001", 230),
        "kfac": ("kfac:rate=1,momentum=0,damping=1e-9,every=1,divergence=none", 20)}
VALLEY = {"lbfgs": ("lbfgs", 90), "newton": ("newton", 60), "conjugate": ("conjugate", 200), "levenberg": ("levenberg", 35),
          "gauss-newton": ("gauss-newton", 45), "hessian-free": ("hessian-free:damping=0.001", 400),
          "kfac": ("kfac:rate=0.002,momentum=0.95,divergence=none", 1500)}
SOLVERS = tuple(BOWL)
LOOSE = {"levenberg": "squared", "gauss-newton": "squared"}  # where cross-entropy is refused


class Bowl(nn.Module):
    """Outputs root(curvature) w, so that half their square is a bowl of condition number 1e4: (n, any) -> (n, 20)."""

    def __init__(self):
        super().__init__()
        self.at = nn.Parameter(torch.ones(20, dtype=torch.double))
        self.register_buffer("root", torch.logspace(0, 2, 20, dtype=torch.double))

    def forward(self, x):
        return (self.root * self.at).expand(len(x), -1)


def solve(spec: str, loss: str = "squared", **penalties: float) -> Solve:
    return Solve(Objective(Supervised(losses.choose(loss).make()), **penalties), optimizers.choose(spec).make())


def passes(spec, module, bottom, outputs, most):
    """How many passes it takes until the parameters are 1e-6 from the bottom."""
    net, rule, used = Net.of(module), solve(spec), 0.0
    state, batch = rule.init(net), Batch(torch.zeros(1, 1, dtype=torch.double), torch.zeros(1, outputs, dtype=torch.double))
    while used < most and (module.at.detach() - bottom).abs().max() > 1e-6:
        net, state, report = rule.step(net, state, batch)
        used += float(report["evaluations"]) + 2 * float(report.get("products", 0))
        assert not report.get("failed", torch.zeros(()))
    return used if (module.at.detach() - bottom).abs().max() <= 1e-6 else math.inf


def test_the_tables_name_every_solver():
    ours = {e.name for e in optimizers.entries() if isinstance(e.make(), Solver)}
    assert ours == set(BOWL) == set(VALLEY)
    assert all(optimizers.find(name).traits.reads == ("everything" if name != "kfac" else "batch") for name in ours)
    assert all(optimizers.find(name).source for name in ours)


@pytest.mark.parametrize("name", [name for name in SOLVERS if name != "kfac"])
def test_bottom_of_a_bowl_of_condition_number_ten_thousand(name):
    spec, most = BOWL[name]
    assert passes(spec, Bowl(), 0.0, 20, most) <= most


def test_natural_gradient_reaches_the_bottom_of_a_bowl_of_condition_number_ten_thousand():
    """A linear layer whose inputs have second moments with these eigenvalues; drawn targets have errors of unit size, so G is near 1."""
    spec, most = BOWL["kfac"]
    roots = torch.logspace(0, 2, 10, dtype=torch.double)
    layer = nn.Linear(10, 1, bias=False).double()
    nn.init.ones_(layer.weight)
    net, rule, used = Net.of(layer), solve(spec), 0
    batch = Batch((torch.diag(roots) * math.sqrt(10)).repeat(20, 1), torch.zeros(200, 1, dtype=torch.double))
    state = rule.init(net)
    torch.manual_seed(0)
    while layer.weight.abs().max() > 1e-6 and used < most:
        net, state, report = rule.step(net, state, batch)
        used += int(report["evaluations"])
    assert layer.weight.abs().max() <= 1e-6


@pytest.mark.parametrize("name", SOLVERS)
def test_bottom_of_the_valley(name):
    spec, most = VALLEY[name]
    assert passes(spec, Valley(), 1.0, 2, most) <= most


def classifier(name, seed=0, dropout=0.2):
    """Three classes of twelve samples at a time, a net with dropout between two layers, and the rule: bound, single precision."""
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Dropout(dropout), nn.Linear(5, 3))
    batches = Batch(torch.randn(4, 12, 6), torch.randint(3, (4, 12)))
    criterion = Supervised(losses.choose(LOOSE.get(name, "cross-entropy")).make())
    rule = make_rule(rules.choose("backprop:l2=0.01"), criterion, optimizers.choose(name), ByPart.read(schedules, "cosine"))
    net = Net.of(module)
    state = rule.init(net)
    set_pace(state, {"done": 0.0, "each": 1.0, "whole": 99.0})
    return rule, Learner(net, state), batches


def advanced(name, batches=slice(0, 4), seed=1):
    rule, learner, all_batches = classifier(name)
    torch.manual_seed(seed)
    return eager(rule.step)(learner, Batch(all_batches.x[batches], all_batches.y[batches]))


@pytest.mark.parametrize("name", SOLVERS)
def test_it_learns_reports_and_repeats(name):
    first, report = advanced(name)
    second, _ = advanced(name)
    assert report["loss"].shape == (4,)
    assert all(bool(told.isfinite().all()) for told in report.values())
    before = classifier(name)[1]
    assert all(not torch.equal(a, b) for a, b in zip(leaves(before.net.params), leaves(first.net.params), strict=True))
    for mine, again in zip(leaves([first.net.tensors, first.state]), leaves([second.net.tensors, second.state]), strict=True):
        assert torch.equal(mine, again)
    assert [t.shape for t in leaves(before.state)] == [t.shape for t in leaves(first.state)]


@pytest.mark.parametrize("name", SOLVERS)
def test_it_resumes_bit_for_bit_from_what_a_checkpoint_holds(name, tmp_path):
    straight, _ = advanced(name)
    rule, learner, batches = classifier(name)
    torch.manual_seed(1)
    halfway, _ = eager(rule.step)(learner, Batch(batches.x[:2], batches.y[:2]))
    random = torch.get_rng_state()
    rule, fresh, _ = classifier(name)
    fresh = through_a_checkpoint(tmp_path, halfway, fresh)
    torch.set_rng_state(random)
    resumed, _ = eager(rule.step)(fresh, Batch(batches.x[2:], batches.y[2:]))
    for mine, theirs in zip(leaves([straight.net.tensors, straight.state]), leaves([resumed.net.tensors, resumed.state]), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_net_that_holds_its_own_tensors_moves_as_a_bound_one(name):
    bound, _ = advanced(name)
    rule, learner, batches = classifier(name)
    apart = learner.net.clone()
    before = clone(learner.net.params)
    state = rule.init(apart)
    set_pace(state, {"done": 0.0, "each": 1.0, "whole": 99.0})
    torch.manual_seed(1)
    for i in range(4):
        apart, state, _ = rule.step(apart, state, batches[i])
    for key, p in apart.params.items():
        assert torch.equal(p, bound.net.params[key])
        assert torch.equal(learner.net.params[key], before[key])


@pytest.mark.parametrize("name", SOLVERS)
def test_what_is_frozen_stays(name):
    rule, learner, batches = classifier(name)
    learner.net.params["0.weight"].requires_grad_(False)
    net = Net.of(learner.net.module)
    before = net.tensors["0.weight"].clone()
    net, _, _ = rule.step(net, rule.init(net), batches[0])
    assert torch.equal(net.tensors["0.weight"], before)
    assert not torch.equal(net.params["3.weight"], classifier(name)[1].net.params["3.weight"])


@pytest.mark.parametrize("name", [name for name in SOLVERS if name != "kfac"])
def test_no_step_raises_the_objective_it_saw(name):
    """Half of the hidden units are dropped at random: only under one seed a step are values comparable at all."""
    rule, learner, batches = classifier(name, dropout=0.5)
    net, state = learner
    torch.manual_seed(5)
    for i in range(8):
        random = torch.get_rng_state()
        surface = Surface(net, batches[i % 4], rule.objective)
        torch.set_rng_state(random)
        net, state, report = rule.step(net, state, batches[i % 4])
        torch.testing.assert_close(float(report["loss"]), surface.value(surface.start), rtol=1e-6, atol=0)
        assert surface.value(flat(net)) <= float(report["loss"]) * (1 + 1e-6)
        assert not report["failed"]


def test_a_surface_stands_still_and_its_evaluations_leave_no_trace():
    """Batch normalisation with dropout: the running mean moves once a step, and draws do not depend on how many evaluations there were."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 3))
    net, batch = Net.of(module), Batch(torch.randn(12, 6), torch.randint(3, (12,)))
    objective = Objective(Supervised(losses.choose("cross-entropy").make()))
    surface = Surface(net, batch, objective)
    first, slope = surface.slope(surface.start)
    torch.rand(3)  # whoever else draws meanwhile
    random = torch.get_rng_state()
    tracked = clone(net.buffers)
    assert int(tracked["1.num_batches_tracked"]) == 1
    second, again = surface.slope(surface.start)
    assert torch.equal(first, second)
    assert torch.equal(slope, again)
    assert surface.value(surface.start) == float(first)
    assert surface.value(surface.start + 0.1) != float(first)
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(tracked[k], b) for k, b in net.buffers.items())
    assert Surface(net, batch, objective).value(surface.start) != float(first)
    assert surface.evaluations == 4


@pytest.mark.parametrize("name", [name for name in SOLVERS if name != "kfac"])
def test_where_nothing_is_lower_the_last_good_point_is_kept_and_said(name):
    """A net whose value is not a number everywhere but where it stands: no trial can succeed, and training goes on."""
    class Cliff(nn.Module):
        def __init__(self):
            super().__init__()
            self.at = nn.Parameter(torch.ones(2, dtype=torch.double))

        def forward(self, x):
            gone = torch.where((self.at == 1).all(), 0.0, float("nan"))
            return (self.at * torch.tensor([1.0, 3.0]) + gone.detach()).expand(len(x), 2)

    module = Cliff()
    net, rule = Net.of(module), solve(name)
    state, batch = rule.init(net), Batch(torch.zeros(1, 1), torch.zeros(1, 2, dtype=torch.double))
    for _ in range(2):
        net, state, report = rule.step(net, state, batch)
        assert float(report["failed"]) == 1
        assert float(report["loss"]) == 5
        assert torch.equal(module.at.detach(), torch.ones(2, dtype=torch.double))


@pytest.mark.parametrize("name", SOLVERS)
def test_a_schedule_reaches_the_solver(name):
    """The factor scales the first trial or the step: another factor ends elsewhere."""
    ends = []
    for factor in (1.0, 0.7):
        rule, learner, batches = classifier(name)
        torch.manual_seed(1)
        rule.solver.step(learner.net, learner.state["solver"], batches[0], rule.objective, torch.tensor(factor))
        ends.append(flat(learner.net))
    assert not torch.equal(*ends)


REFUSED = ["lbfgs:memory=0", "lbfgs:c1=0.9,c2=0.1", "lbfgs:c2=1", "lbfgs:c1=0", "lbfgs:evaluations=0", "newton:damping=-1",
           "newton:evaluations=0", "conjugate:c2=0.5", "conjugate:restart=0", "conjugate:c1=0", "conjugate:evaluations=0",
           "levenberg:damping=0", "levenberg:evaluations=0", "gauss-newton:evaluations=0", "hessian-free:damping=0",
           "hessian-free:iterations=0", "hessian-free:progress=-1", "hessian-free:decay=1.5", "hessian-free:curvature=0",
           "hessian-free:curvature=2", "hessian-free:structural=-1", "kfac:rate=0", "kfac:rate=-1", "kfac:rate=nan", "kfac:momentum=1",
           "kfac:momentum=-0.5", "kfac:damping=0", "kfac:decay=1", "kfac:every=0", "kfac:divergence=0"]


@pytest.mark.parametrize("spec", REFUSED)
def test_options_out_of_range_are_refused(spec):
    name, _, rest = spec.partition(":")
    option = rest.split("=")[0]
    with pytest.raises(InputError, match=rf"{name} expects {option} to be .*; got .*\."):
        optimizers.choose(spec).make()


def test_a_range_is_said_in_words():
    with pytest.raises(InputError, match=r"x expects y to be above 0 and below 1; got 1\. Leave y out for its usual value\."):
        within("x", 0, 1, open=True, y=1)
    with pytest.raises(InputError, match="x expects y to be at least 1; got 0"):
        within("x", 1, y=0)
    within("x", 0, 1, y=1)


def test_what_a_solver_cannot_solve_is_said_with_what_can():
    wide = Net.of(nn.Linear(2000, 2))
    with pytest.raises(InputError, match=r"at most 2,000 parameters; this one has 4,002.*lbfgs or hessian-free"):
        solve("newton").init(wide)
    batch = Batch(torch.randn(6, 4), torch.randint(2, (6,)))
    for name in LOOSE:
        net = Net.of(nn.Linear(4, 2))
        with pytest.raises(InputError, match=rf"{name} solves least squares.*got cross-entropy.*squared"):
            (rule := solve(name, "cross-entropy")).step(net, rule.init(net), batch)
        with pytest.raises(InputError, match=rf"{name} .*got l1=0.1"):
            (rule := solve(name, l1=0.1)).step(net, rule.init(net), batch)
        with pytest.raises(InputError, match=rf"{name} .*20,000,000 numbers; 12,000 outputs by 4,002"):
            (rule := solve(name)).step(wide, rule.init(wide), Batch(torch.zeros(6000, 2000), torch.zeros(6000, dtype=torch.int64)))
    net = Net.of(nn.Linear(4, 2))
    with pytest.raises(InputError, match=r"draws targets.*got hinge.*fisher=empirical"):
        (rule := solve("kfac", "hinge")).step(net, rule.init(net), batch)
    with pytest.raises(InputError, match=r"Linear does not offer by a method states\(x\)"):
        solve("hessian-free:structural=1").init(wide)
