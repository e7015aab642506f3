"""MADALINE Rules I, II, III: which units are turned, by enumeration; XOR; and Rule III against the gradient."""

import itertools

import pytest
import torch

from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import inits, losses, nets, optimizers, rules
from chainrule.core.tree import value_and_grad
from chainrule.job.rule_spec import make_rule
from chainrule.nets.init.initial import initialise
from chainrule.rules.madaline import madaline_i, madaline_ii, madaline_iii

CORNERS = torch.tensor([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])
XOR = torch.tensor([-1.0, 1, 1, -1])


def made(spec: str, inputs: int = 2, outputs: int = 1, seed: int = 0, dtype: torch.dtype = torch.float64,
         init: str = "lecun:biases=0.3") -> Net:
    torch.manual_seed(seed)
    module = nets.choose(spec).make((inputs,), outputs).to(dtype)
    initialise(module, inits.choose(init))
    return Net.of(module)


def epochs_to_learn(spec: str, rule_name: str, seed: int, most: int) -> int | None:
    """How many times XOR's corners are shown, one by one in random order, until all are right."""
    net = made(spec, seed=seed, dtype=torch.float32, init="lecun")
    rule = make_rule(rules.choose(rule_name), None, optimizers.choose("sgd:rate=0.5"), None)
    state = rule.init(net)
    for epoch in range(1, most + 1):
        for i in torch.randperm(4).tolist():
            net, state, _ = rule.step(net, state, Batch(CORNERS[i : i + 1], XOR[i : i + 1]))
        if bool((net(CORNERS).squeeze(1) * XOR > 0).all()):
            return epoch
    return None


@pytest.mark.parametrize(("spec", "rule"), [
    ("madaline:output=adaptive,hidden=10", "madaline-ii"), ("madaline:output=or,hidden=2", "madaline-i"),
    ("madaline:output=majority,hidden=3", "madaline-i"),
])
@pytest.mark.parametrize("seed", range(10))
def test_xor_is_learned_within_ten_epochs(spec, rule, seed):
    assert epochs_to_learn(spec, rule, seed, 10) is not None


@pytest.mark.parametrize("logic", ["or", "and", "majority"])
def test_the_score_says_what_the_logic_says(logic):
    net = made(f"madaline:output={logic},hidden=3", inputs=4, outputs=2)
    x = torch.randn(50, 4, dtype=torch.float64)
    fires = (net.call("walk", x)[0][1] >= 0).unflatten(1, (2, 3)).sum(2)
    least = {"or": 1, "and": 3, "majority": 2}[logic]
    assert torch.equal(net(x) > 0, fires >= least)
    assert (net(x) > 0).any()
    assert (net(x) <= 0).any()


@pytest.mark.parametrize("logic", ["or", "and", "majority"])
@pytest.mark.parametrize("seed", range(8))
def test_rule_one_turns_the_fewest_units_and_of_those_the_least_sure(logic, seed):
    """Second derivation: every set of units is tried, and the cheapest that makes the answer right is taken."""
    net = made(f"madaline:output={logic},hidden=5", inputs=3, seed=seed)
    x = torch.randn(1, 3, dtype=torch.float64)
    [(_, sums)] = net.call("walk", x)
    wish = -float(net(x).detach().sign())
    least = {"or": 1, "and": 5, "majority": 3}[logic]

    def right(turned: tuple[int, ...]) -> bool:
        fires = sum((s >= 0) != (k in turned) for k, s in enumerate(sums[0].tolist()))
        return (fires >= least) == (wish > 0)

    sets = [s for size in range(6) for s in itertools.combinations(range(5), size) if right(s)]
    best = min(sets, key=lambda s: (len(s), sum(abs(sums[0, k].item()) for k in s)))
    rule = make_rule(rules.choose("madaline-i"), None, optimizers.choose("sgd:rate=1"), None)
    before = sums.clone()
    rule.step(net, rule.init(net), Batch(x, torch.tensor([wish], dtype=torch.float64)))
    [(_, after)] = net.call("walk", x)
    expected = before.clone()
    expected[0, list(best)] = wish  # a rate of one takes the sums to plus or minus one, and leaves the others
    torch.testing.assert_close(after, expected)
    assert float(net(x).detach()) * wish > 0


@pytest.mark.parametrize("seed", range(60))
def test_rule_two_takes_the_first_set_that_leaves_fewer_errors(seed):
    """Second derivation: sets in order of size, then of summed distance from zero, each tried by hand."""
    net = made("madaline:output=adaptive,hidden=5", inputs=3, outputs=3, seed=seed)
    x, y = torch.randn(1, 3, dtype=torch.float64), torch.tensor([seed % 3])
    wish = torch.full((3,), -1.0, dtype=torch.float64)
    wish[y] = 1.0
    sums = net.call("walk", x)[0][1][0]
    says = torch.where(sums >= 0, 1.0, -1.0).double()
    above = net.params["layers.1.weight"].detach(), net.params["layers.1.bias"].detach()

    def errors(said: torch.Tensor) -> int:
        return int((((above[0] @ said + above[1]) * wish) <= 0).sum())

    turned: tuple[int, ...] = ()
    unsure = sums.detach().abs().tolist()
    sets = [s for size in (1, 2) for s in sorted(itertools.combinations(range(5), size), key=lambda s: sum(unsure[k] for k in s))]
    for tried in sets:
        flipped = says.clone()
        flipped[list(tried)] *= -1
        if errors(flipped) < errors(says):
            turned = tried
            break
    direction, report = madaline_ii(net, Batch(x, y))
    moved = direction["layers.0.bias"] != 0
    assert tuple(moved.nonzero().flatten().tolist()) == turned
    assert int(report["mistakes"]) == errors(says)
    after = says.clone()
    after[list(turned)] *= -1
    still = ((above[0] @ after + above[1]) * wish) <= 0
    assert torch.equal(direction["layers.1.bias"] != 0, still)
    height = above[0] @ after + above[1]
    torch.testing.assert_close(direction["layers.1.weight"], torch.where(still, height - wish, 0.0)[:, None] * after / 6)  # 5 units, 1 bias


def test_some_of_those_samples_had_something_to_turn():
    nets_ = [made("madaline:output=adaptive,hidden=5", inputs=3, outputs=3, seed=s) for s in range(8)]
    torch.manual_seed(1)
    x, y = torch.randn(20, 3, dtype=torch.float64), torch.randint(3, (20,))
    assert sum(bool(madaline_ii(net, Batch(x, y))[0]["layers.0.bias"].any()) for net in nets_) >= 6


def test_nothing_is_disturbed_where_everything_is_right():
    net = made("madaline:output=adaptive,hidden=4", inputs=3)
    x = torch.randn(20, 3, dtype=torch.float64)
    direction, report = madaline_ii(net, Batch(x, net(x).detach().sign().squeeze(1)))
    assert report["mistakes"] == 0
    assert not any(t.any() for t in direction.values())
    fixed = made("madaline:hidden=3", inputs=3)
    direction, _ = madaline_i(fixed, Batch(x, fixed(x).detach().sign().squeeze(1)))
    assert not any(t.any() for t in direction.values())


@pytest.mark.parametrize(("loss", "outputs"), [("squared", 3), ("cross-entropy", 3), ("squared", 1)])
@pytest.mark.parametrize("weighted", [False, True])
def test_rule_three_is_backprop(loss, outputs, weighted):
    """Second derivation: the gradient of the mean loss, to a thousandth of its length in every tensor (far closer in double precision)."""
    for dtype, close in ((torch.float32, 1e-3), (torch.float64, 1e-4)):
        net = made("madaline:output=adaptive,units=tanh,hidden=6x4", inputs=5, outputs=outputs, dtype=dtype)
        torch.manual_seed(3)
        x = torch.randn(16, 5, dtype=dtype)
        y = torch.randint(3, (16,)) if outputs == 3 else torch.randn(16, 1, dtype=dtype)
        batch, the_loss = Batch(x, y, torch.rand(16, dtype=dtype) if weighted else None), losses.choose(loss).make()
        by_disturbance, report = madaline_iii(net, batch, loss=the_loss)
        value, _, by_gradient = value_and_grad(lambda net, b, the_loss=the_loss: (b.mean(the_loss.each(net(b.x), b.y)), {}), net, batch)
        torch.testing.assert_close(report["loss"], value)
        for name, slope in by_gradient.items():
            assert float((by_disturbance[name] - slope).norm()) <= close * float(slope.norm())


def test_rule_three_errs_by_the_square_of_its_disturbance():
    net = made("madaline:output=adaptive,units=tanh,hidden=4", inputs=3)
    batch, loss = Batch(torch.randn(8, 3, dtype=torch.float64), torch.randn(8, 1, dtype=torch.float64)), losses.choose("squared").make()
    _, _, gradient = value_and_grad(lambda net, b: (b.mean(loss.each(net(b.x), b.y)), {}), net, batch)

    def off(disturbance: float) -> float:
        direction, _ = madaline_iii(net, batch, loss=loss, disturbance=disturbance)
        return float((direction["layers.0.weight"] - gradient["layers.0.weight"]).norm())

    assert off(0.2) / off(0.1) == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize(("rule", "spec", "message"), [
    ("madaline-i", "madaline:output=adaptive", "madaline-i trains units under a fixed logic.*--rule madaline-ii"),
    ("madaline-ii", "madaline:output=or", "madaline-ii trains layers of sign units under adaptive outputs; this madaline has output=or"),
    ("madaline-ii", "madaline:output=adaptive,units=tanh", "has tanh units.*--rule madaline-iii"),
    ("madaline-iii", "madaline:output=adaptive", "madaline-iii needs units that a small disturbance moves"),
    ("madaline-iii:disturbance=0", "madaline:output=adaptive,units=tanh", "disturbance to be a number above 0; got 0"),
    ("madaline-ii:flips=0", "madaline:output=adaptive", "flips to be at least 1; got 0"),
    ("madaline-ii:flips=5", "madaline:output=adaptive,hidden=40", "would try 760098 sets of up to 5 of 40 units"),
    ("madaline-i", "mlp", "madaline-i trains a madaline; this is a Sequential"),
])
def test_what_does_not_fit_is_refused(rule, spec, message):
    net = made(spec)
    whole = make_rule(rules.choose(rule), Supervised(losses.choose("squared").make()), optimizers.choose("sgd:rate=1"), None)
    with pytest.raises(InputError, match=message):
        whole.step(net, whole.init(net), Batch(torch.randn(3, 2, dtype=torch.float64), torch.ones(3, dtype=torch.float64)))


@pytest.mark.parametrize(("spec", "message"), [("madaline:hidden=0", "at least one unit in every layer; got hidden=0"),
                                               ("madaline:hidden=3x2", "has one layer of units, which the logic reads; got 2 layers")])
def test_a_madaline_that_cannot_be_is_refused(spec, message):
    with pytest.raises(InputError, match=message):
        made(spec)
