"""Rules with several optimizers: each part is reached by name, follows its own, and is told what no part can do."""

import math

import pytest
import torch
from torch import nn

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.descend import Descent, set_pace
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import constraints, optimizers, rules, schedules
from chainrule.core.rule import rule
from chainrule.core.tree import clone
from chainrule.job.build import build
from chainrule.job.by_part import ByPart
from chainrule.job.options import Options
from chainrule.job.rule_spec import make_rule, parts_of
from chainrule.nets.gan import GAN

SPEC = "adversarial:generator=sgd:rate=0.1,discriminator=(adam:rate=0.001,beta1=0.5)"
SMALL = {"net": "gan:hidden=8", "rule": SPEC, "epochs": 2, "batch": 20, "plan": "eager", "threads": 1}


def pair() -> Net:
    torch.manual_seed(0)
    return Net.of(GAN((3,), 0, noise=2, hidden=(5,)).double())


def made(spec, optimizer="sgd:rate=0.2", *, schedule=None, constraint=None):
    return make_rule(rules.choose(spec), None, optimizers.choose(optimizer), ByPart.read(schedules, schedule) if schedule else None,
                     ByPart.read(constraints, constraint) if constraint else None)


def stepped(whole, net=None, steps=1, pace=None):
    """The net after so many steps on the same rows, of the same noise."""
    net = net or pair()
    state = clone(whole.init(net))
    if pace:
        set_pace(state, pace)
    torch.manual_seed(3)
    x = torch.randn(8, 3, dtype=torch.double)
    for _ in range(steps):
        net, state, report = whole.step(net, state, Batch(x))
    return net, state, report


def moved(after, part):
    """What a part's parameters moved by since `pair`."""
    start = pair()
    return {name: p.detach() - start.params[name].detach() for name, p in after.params.items() if name.startswith(part + ".")}


def test_each_part_follows_the_optimizer_it_is_given():
    """Against torch's own optimizers and the textbook's logarithms, three steps."""
    net, _, _ = stepped(made(SPEC), steps=3)
    twin = pair().module
    torch.manual_seed(3)
    x = torch.randn(8, 3, dtype=torch.double)
    telling = torch.optim.Adam(twin.discriminator.parameters(), lr=0.001, betas=(0.5, 0.999))
    fooling = torch.optim.SGD(twin.generator.parameters(), lr=0.1)
    for _ in range(3):
        fake = twin.generator(torch.randn(8, 2, dtype=torch.double)).detach()
        telling.zero_grad()
        (-twin(x).sigmoid().log().mean() - (1 - twin(fake).sigmoid()).log().mean()).backward()
        telling.step()
        z = torch.randn(8, 2, dtype=torch.double)
        fooling.zero_grad()
        (-twin(twin.generator(z)).sigmoid().log().mean()).backward()
        fooling.step()
    for name, p in twin.named_parameters():
        torch.testing.assert_close(net.params[name].detach(), p.detach())


def test_a_part_without_an_optimizer_of_its_own_follows_that_of_the_rule():
    given, _, _ = stepped(made("adversarial:discriminator=sgd:rate=0.4"))
    usual, _, _ = stepped(made("adversarial"))
    torch.testing.assert_close(moved(given, "discriminator"), {k: 2 * d for k, d in moved(usual, "discriminator").items()})
    assert stepped(made("adversarial:generator=sgd:rate=0.2,discriminator=sgd:rate=0.2"))[0].params.keys() == usual.params.keys()
    torch.testing.assert_close(clone(stepped(made("adversarial:generator=sgd:rate=0.2"))[0].params), clone(usual.params), rtol=0, atol=0)


def test_a_specification_reads_back_equal():
    chosen = rules.choose(SPEC)
    assert str(chosen) == SPEC
    assert rules.choose(str(chosen)) == chosen
    assert chosen.options["discriminator"].options == {"rate": 0.001, "beta1": 0.5}
    assert parts_of(chosen.entry) == ["generator", "discriminator"]
    assert rules.choose("adversarial:minimax").options == {"objective": "minimax"}


@pytest.mark.parametrize(("text", "spelled"), [
    ("max-norm:3", "max-norm:length=3.0"), ("discriminator=max-norm:length=1e+3", "discriminator=max-norm:length=1000.0"),
    (" max-norm:3 + generator = non-negative", "max-norm:length=3.0+generator=non-negative"),
])
def test_what_is_asked_of_parts_reads_back_equal(text, spelled):
    asked = ByPart.read(constraints, text)
    assert str(asked) == spelled
    assert ByPart.read(constraints, spelled) == asked


@pytest.mark.parametrize(("schedule", "factor", "paced"), [
    ("linear", 0.5, {"generator", "discriminator"}), ("discriminator=linear", 0.5, {"discriminator"}),
    ("generator=linear", 1.0, {"generator"}), ("linear+discriminator=constant", 1.0, {"generator", "discriminator"}),
])
def test_the_share_of_the_stage_reaches_every_part_and_a_part_may_have_a_schedule_of_its_own(schedule, factor, paced):
    """At share 1/2 a linear schedule halves the rate, here the discriminator's, which moves first."""
    full, _, _ = stepped(made("adversarial"))
    net, state, _ = stepped(made("adversarial", schedule=schedule), pace={"done": 4.0, "each": 1.0, "whole": 8.0})
    torch.testing.assert_close(moved(net, "discriminator"), {k: factor * d for k, d in moved(full, "discriminator").items()})
    assert {part: float(one["pace"]["done"]) for part, one in state.items() if "pace" in one} == dict.fromkeys(paced, 5.0)


def test_constraints_are_put_on_the_parts_that_are_named():
    free, _, _ = stepped(made("adversarial"))

    def longest(net, part):
        return max(float(p.detach().norm(dim=1).max()) for name, p in net.params.items() if name.startswith(part) and p.dim() > 1)

    for constraint, bound in (("max-norm:0.1", {"generator", "discriminator"}), ("discriminator=max-norm:0.1", {"discriminator"}),
                              ("generator=max-norm:0.1+generator=non-negative", {"generator"})):
        net, _, _ = stepped(made("adversarial", constraint=constraint))
        for part in ("generator", "discriminator"):
            assert (longest(net, part) < 0.1001) == (part in bound)
        if "non-negative" in constraint:
            assert all(bool((p >= 0).all()) for name, p in net.params.items() if name.startswith("generator") and p.dim() > 1)
    assert min(longest(free, part) for part in ("generator", "discriminator")) > 0.3


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("frozen", ["discriminator", "discriminator.0", "generator.0.weight"])
def test_what_is_frozen_stays_and_the_rest_learns(bound, frozen):
    net = pair()
    for name, p in net.module.named_parameters():
        p.requires_grad_(not name.startswith(frozen))
    net = Net.of(net.module) if bound else Net.of(net.module).clone()
    before = clone(net.tensors)
    assert any(name.startswith(frozen) for name in net.buffers)
    rule_ = made("adversarial:discriminator=adamw:decay=0.5,generator=adamw:decay=0.5", constraint="max-norm:0.1")
    after, _, report = stepped(rule_, net)
    assert math.isfinite(float(report["loss"]))
    for name, p in after.tensors.items():
        assert torch.equal(p, before[name]) == name.startswith(frozen), name


class Unused(GAN):
    """A pair whose discriminator has a weight that it does not use."""

    def __init__(self):
        super().__init__((3,), 0, noise=2, hidden=(5,))
        self.discriminator.register_parameter("spare", nn.Parameter(torch.ones(2, 2)))


def test_a_parameter_that_no_cost_depends_on_is_moved_by_nothing():
    """Nor in a program, which learns of it from the first step."""
    torch.manual_seed(0)
    net = Net.of(Unused().double())
    rule_ = made("adversarial:discriminator=adamw:decay=0.5", "adamw:decay=0.5")
    after, _, _ = stepped(rule_, net)
    assert after.idle == {"discriminator.spare"}
    again, _, _ = stepped(rule_, after.clone())
    assert bool((again.params["discriminator.spare"] == 1).all())
    assert not torch.equal(again.params["discriminator.0.weight"], after.params["discriminator.0.weight"])


@pytest.mark.parametrize(("spec", "message"), [
    ("adversarial:discriminater=adam", r"rule adversarial has no option 'discriminater'\. Did you mean discriminator\?"),
    ("adversarial:discriminator=adm", r"In adversarial:discriminator=adm: There is no optimizer called 'adm'\. Did you mean adam"),
    ("adversarial:discriminator=adam:rte=1", r"discriminator=adam:rte=1: optimizer adam has no option 'rte'\. Did you mean rate"),
    ("adversarial:discriminator=(adam:rate=1,beta1=x)", r"adam expects beta1 to be a number; got 'x'"),
    ("adversarial:discriminator=(adam:rate=1,beta1=0.5", r"The parentheses in .* do not match\. Write e\.g\."),
    ("adversarial:discriminator=adam),generator=sgd", r"The parentheses in .* do not match"),
    ("adversarial:discriminator=", r"adversarial expects discriminator to be the name of an optimizer; got ''\. Write adversarial:"),
    ("adversarial:discriminator=adam,discriminator=sgd", "is given discriminator twice"),
    ("adversarial:discriminator=lbfgs", r"lbfgs needs the loss itself.*Write e\.g\. adversarial:discriminator=adam"),
    ("adversarial:generator=bold-driver", r"bold-driver compares one step's loss.*Write e\.g\. adversarial:generator=adam"),
    ("adversarial:discriminator=sgd:rate=-1", "sgd expects rate to be a number above 0"),
])
def test_what_no_part_can_follow_is_one_sentence(spec, message):
    with pytest.raises(InputError, match=message):
        made(spec)


@pytest.mark.parametrize(("spec", "asked", "message"), [
    ("adversarial", {"constraint": "critic=max-norm:3"}, r"adversarial has no part called 'critic'; got --constraint critic=max-norm"),
    ("adversarial", {"schedule": "discriminater=cosine"}, r"adversarial has no part called 'discriminater'.*Did you mean discriminator"),
    ("divergence", {"constraint": "weight=max-norm:3"}, r"divergence has no parts.*Write --constraint max-norm:length=3"),
    ("adversarial", {"constraint": "discriminator=max-nrm"}, r"no constraint called 'max-nrm'\. Did you mean max-norm"),
])
def test_what_is_asked_of_a_part_that_does_not_exist_is_one_sentence(spec, asked, message):
    with pytest.raises(InputError, match=message):
        made(spec, **asked)


def test_rules_that_move_by_one_optimizer_take_constraints():
    """Contrastive divergence and truncated back-propagation, whole rules both, keep to them like any other."""
    job = build(cr.load("digits"), Options(net="rbm:hidden=9", constraint="max-norm:0.05", epochs=1, plan="eager", threads=1))
    list(job.events())
    lengths = job.net.params["weight"].norm(dim=1)
    assert float(lengths.detach().max()) == pytest.approx(0.05, rel=1e-4)
    assert job.options.constraint == "max-norm:length=0.05"


def test_members_may_differ_in_the_numbers_of_a_part():
    job = build(cr.load("iris"), Options(**SMALL))
    common, numbers = job.kind()
    assert numbers["rule.discriminator.rate"] == 0.001
    assert numbers["rule.generator.momentum"] == 0.0
    assert ("rule.discriminator", "adam") in common
    other = build(cr.load("iris"), Options(**{**SMALL, "rule": SPEC.replace("0.001", "0.5")}))
    assert other.kind()[0] == common
    assert build(cr.load("iris"), Options(**{**SMALL, "rule": SPEC.replace("adam", "adamw")})).kind()[0] != common
    steps = []
    for whole in (other.reading(other.rule), job.remaking()({"rule.discriminator.rate": torch.tensor(0.5)})):
        net = job.net.clone()
        torch.manual_seed(1)
        net, _, _ = whole.step(net, clone(whole.init(net)), Batch(job.data.train.x[:20]))
        steps.append(clone(net.params))
    torch.testing.assert_close(steps[0], steps[1])


def test_a_run_with_parts_repeats_and_is_recorded_as_it_was_asked_for(tmp_path):
    run = cr.train("iris", **SMALL, schedule="cosine", constraint="discriminator=max-norm:3", progress=False, out=tmp_path / "r")
    assert run.options.rule == SPEC
    assert run.options.constraint == "discriminator=max-norm:length=3.0"
    assert cr.repeat(tmp_path / "r", progress=False) == (True, 0.0)


@pytest.fixture
def two_speeds():
    """A rule of two parts, one with a default of its own, that declares a constraint."""

    @rule("two-speeds-of-a-test", source="made up", optimizer="sgd:rate=0.1", target="none", reads="features", nets=("gan",),
          parts={"discriminator": "momentum:rate=0.3"}, constraint="generator=max-norm:2")
    class TwoSpeeds:
        """Nothing moves."""

        def __init__(self, *, generator: Descent, discriminator: Descent):
            self.descents = {"generator": generator, "discriminator": discriminator}

        def init(self, net):
            return {name: one.init(net.only(name)) for name, one in self.descents.items()}

        def step(self, net, state, batch):
            return net, state, {"loss": batch.x.sum()}

    yield TwoSpeeds
    del rules._entries["two-speeds-of-a-test"]


@pytest.mark.usefixtures("two_speeds")
def test_a_rule_declares_defaults_of_its_parts_and_what_they_keep_to():
    """They stand in the options of the run; what the user asks for goes first, an optimizer being that of all unnamed parts."""
    small = {"net": "gan:hidden=8", "epochs": 1, "batch": 20, "plan": "eager"}
    job = build(cr.load("iris"), Options(**small, rule="two-speeds-of-a-test"))
    assert job.rule_name == job.options.rule == "two-speeds-of-a-test:discriminator=momentum:rate=0.3"
    assert (job.options.optimizer, job.options.constraint) == ("sgd:rate=0.1", "generator=max-norm:length=2.0")
    assert job.rule.descents["generator"].constraint is not None
    assert job.rule.descents["discriminator"].constraint is None
    other = build(cr.load("iris"), Options(**small, rule="two-speeds-of-a-test", optimizer="adam", constraint="non-negative"))
    assert (other.options.rule, other.options.constraint) == ("two-speeds-of-a-test", "non-negative")
