"""Runs by solvers as a user asks for them: the batch that was asked for, and one sentence, at once, where it does not fit."""

import pytest
import torch

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.criterion import Objective, Solve, Solver, Supervised
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import losses, optimizers
from chainrule.job.build import build
from chainrule.job.options import Options

SOLVERS = [entry.name for entry in optimizers.entries() if isinstance(entry.make(), Solver)]


def job_of(optimizer, **options):
    loss = "squared" if optimizer.split(":")[0] in ("levenberg", "gauss-newton") else "cross-entropy"
    return build(cr.load("iris"), Options.from_json({"optimizer": optimizer, "plan": "eager", "epochs": 1, "loss": loss, **options}))


@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver_reads_all_rows_unless_a_smaller_batch_is_asked_for(name):
    if name != "kfac":
        assert job_of(name).feed().everything
    small = job_of(name, batch=40).feed()
    assert (small.batch, small.batches, small.everything) == (40, 3, False)
    assert job_of(name, batch=10**6).feed().batch == 105


@pytest.mark.parametrize(("optimizer", "options", "message"), [
    ("lbfgs:memori=3", {}, r"lbfgs has no option 'memori'\. Did you mean memory\?"),
    ("lbfsg", {}, r"no optimizer called 'lbfsg'\. Did you mean lbfgs"),
    ("lbfgs:rate=0", {}, r"lbfgs has no option 'rate'\. Known: c1, c2, evaluations, memory\."),
    ("kfac:rate=0", {}, r"kfac expects rate to be above 0; got 0\.0\."),
    ("kfac:rate=-1", {}, r"kfac expects rate to be above 0; got -1\.0\."),
    ("hessian-free:iterations=two", {}, r"hessian-free expects iterations to be a whole number; got 'two'\."),
    ("gauss-newton", {"loss": "cross-entropy"}, r"takes only the squared loss; got cross-entropy\. Use --loss squared"),
    ("levenberg", {"loss": "cross-entropy"}, r"takes only the squared loss; got cross-entropy\. Use --loss squared"),
    ("levenberg", {"rule": "backprop:l1=0.1"}, r"an l1 penalty does not belong; got l1=0\.1\."),
    ("kfac", {"loss": "hinge"}, r"got hinge\. Use kfac:fisher=empirical"),
    ("lbfgs", {"rule": "backprop:clip=1"}, r"does not follow a clipped gradient\. Leave out backprop:clip"),
    ("newton", {"net": "mlp:hidden=500"}, r"at most 2,000 parameters; this one has 4,003"),
    ("bold-driver", {"batch": 32}, r"bold-driver compares .* --batch 32 of 105 gives it others\. Leave out --batch"),
    ("irprop", {"batch": 1}, r"irprop compares .* --batch 1 of 105 gives it others"),
    ("lbfgs", {"batch": 0}, r"--batch must be at least 1; got 0"),
])
def test_what_does_not_fit_is_said_when_the_job_is_made(optimizer, options, message):
    with pytest.raises(InputError, match=message) as refused:
        job_of(optimizer, **options)
    assert "\n" not in str(refused.value)


def test_what_compares_may_have_all_rows_as_its_batch():
    assert job_of("bold-driver", batch=105).feed().batch == job_of("bold-driver").feed().batch == 105


@pytest.mark.parametrize("name", ["lbfgs", "conjugate"])
def test_a_slope_too_steep_for_its_numbers_leaves_the_last_good_point(name):
    """The objective is finite, and the squared length of its slope is not."""
    net = Net.of(torch.nn.Linear(2, 2, bias=False))
    before = net.params["weight"].detach().clone()
    rule = Solve(Objective(Supervised(losses.choose("squared").make()), l2=1e30), optimizers.choose(name).make())
    state = rule.init(net)
    for _ in range(2):
        net, state, report = rule.step(net, state, Batch(torch.ones(3, 2), torch.ones(3, 2)))
        assert float(report["failed"]) == 1
        assert bool(report["loss"].isfinite())
        assert torch.equal(net.params["weight"].detach(), before)
        assert all(bool(t.isfinite().all()) for t in state["solver"].values())


def test_a_hessian_of_nothing_but_a_saddle_is_left():
    """Entries off the diagonal alone: the first shift is a share of the largest of all, and the step goes down."""
    class Product(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.at = torch.nn.Parameter(torch.tensor([1e-3, 0.0]))

        def forward(self, x):
            return (self.at[0] * self.at[1]).expand(len(x), 1)

    net, rule = Net.of(Product()), Solve(Objective(Supervised(losses.choose("squared").make())), optimizers.choose("newton").make())
    state, batch = rule.init(net), Batch(torch.zeros(1, 1), torch.ones(1, 1))
    for _ in range(15):
        net, state, report = rule.step(net, state, batch)
    assert float(report["loss"]) < 1e-6
