"""R09: a number that stops being finite, anywhere, at any step: nothing of it is kept, and D21 says where it began."""

import random
import shutil

import pytest
import torch
from worker import BATCH, BATCHES, ROWS, Ordered, differences, fresh_net, fresh_rule, part, training

from chainrule.core.batch import Batch
from chainrule.core.events import Diagnosed, Finished
from chainrule.data.feed.shuffled import Feed
from chainrule.data.source import Part
from chainrule.engine import checkpoint
from chainrule.engine.nonfinite import finite
from chainrule.engine.store import BEST, LAST
from chainrule.losses.classic import cross_entropy

EPOCHS = 4
STEPS = EPOCHS * BATCHES
PLACES = random.Random(9).sample(range(STEPS), 20)


class Sabotaged(Ordered):
    """The rule of the other tests, until step `at`, when `what` of it turns into NaN: a loss, one gradient or the optimizer's state."""

    def __init__(self, what: str, at: int):
        super().__init__(fresh_rule().inner)
        self.what, self.at, self.now = what, at, False
        honest = self.inner.direction
        self.inner.direction = lambda net, batch: self.spoil(*honest(net, batch))

    def spoil(self, slope, report):
        if self.now and self.what == "gradient":
            slope["last.weight"][1, 2] = float("nan")
        if self.now and self.what == "loss":
            slope = {name: g * float("nan") for name, g in slope.items()}
            report = {"loss": report["loss"] * float("nan")}
        return slope, report

    def init(self, net):
        return {**super().init(net), "count": torch.zeros(())}

    def step(self, net, state, batch):
        self.now = int(state["count"]) == self.at
        state["count"].add_(1)
        net, state, report = super().step(net, state, batch)
        if self.now and self.what == "optimizer":
            state["inner"]["optimizer"]["velocity"]["first.bias"][0] = float("inf")
        return net, state, report


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """The weights after every number of steps of a run without sabotage, from 0 on; the best ones and the random state then on disk."""
    folder, weights, best, drawn = tmp_path_factory.mktemp("clean"), [], [], []
    running = training(folder, epochs=EPOCHS, rule=Sabotaged("nothing", -1))
    weights.append(running.net.clone().tensors)
    for event in running.run():
        if type(event).__name__ == "Saved":
            weights.append(running.net.clone().tensors)
            best.append(checkpoint.read(folder / BEST)[0])
            drawn.append(random_state(folder))
    assert len(weights) == STEPS + 1
    return weights, best, drawn


def random_state(folder):
    tensors, payload = checkpoint.read(folder / LAST)
    return {**{name: t for name, t in tensors.items() if "random" in name}, "plain": payload["random"]}


def train(folder, **given):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    running = training(folder, epochs=EPOCHS, **given)
    events = list(running.run())
    said = [e for e in events if isinstance(e, Diagnosed)]
    assert [e.code for e in said] == ["D21"]
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "diverged"
    assert finite(running.net.tensors)
    tensors, payload = checkpoint.read(folder / LAST)
    assert payload["position"]["finished"] == "diverged"
    assert finite(tensors)
    return said[0], {k.removeprefix("run/net/"): t for k, t in tensors.items() if k.startswith("run/net/")}, payload


@pytest.mark.parametrize("what", ["loss", "gradient", "optimizer"])
def test_nothing_of_a_bad_step_is_kept(tmp_path, clean, what):
    weights, best, drawn = clean
    for at in PLACES:
        said, kept, payload = train(tmp_path / "run", rule=Sabotaged(what, at))
        assert payload["position"]["step"] == at
        assert differences(kept, weights[at]) == [], f"step {at} left its mark"
        assert said.layer == what
        assert f"epoch {at // BATCHES + 1}, batch {at % BATCHES + 1}" in said.evidence
        assert "rate" in said.remedy
        if at > 0:
            assert differences(random_state(tmp_path / "run"), drawn[at - 1]) == [], "random numbers of the bad step were used up"
            assert checkpoint.read(tmp_path / "run" / BEST)[1]["best"] == (payload["position"]["best"])
            if payload["position"]["best"]:
                assert differences(checkpoint.read(tmp_path / "run" / BEST)[0], best[at - 1]) == [], "the best weights were replaced"


@pytest.mark.parametrize("what", ["loss", "gradient", "optimizer"])
def test_with_several_steps_a_chunk_it_goes_back_to_the_last_good_chunk(tmp_path, clean, what):
    weights, *_ = clean
    for at in PLACES[:5]:
        said, kept, payload = train(tmp_path / "run", rule=Sabotaged(what, at), chunk=4)
        begin = at // BATCHES * BATCHES + (at % BATCHES // 4 * 4 if at % BATCHES < 5 else 5)  # the small last batch comes alone
        assert payload["position"]["step"] == begin
        assert differences(kept, weights[begin]) == []
        assert f"batch {at % BATCHES + 1}" in said.evidence, "the step within the chunk was not found"


def test_a_bad_input_is_found_with_its_row(tmp_path, clean):
    """The row's first use decides when; `rows` are numbers of the source, not places in the batch."""
    weights, *_ = clean
    for row in random.Random(10).sample(range(ROWS), 20):
        good = part()
        x, numbers = good.x.clone(), 1000 + torch.arange(ROWS)
        x[row, 2] = float("inf") if row % 2 else float("nan")
        spoiled = Part(x, good.y, numbers)
        at = next(b for b in range(BATCHES) if 1000 + row in Feed(spoiled, torch.Tensor.float, batch=BATCH, seed=5).rows(0, b))
        said, kept, payload = train(tmp_path / "run", data=spoiled, rule=Sabotaged("nothing", -1))
        assert payload["position"]["step"] == at
        assert differences(kept, weights[at]) == []
        assert said.layer == "input"
        assert f"batch {at + 1}, rows {1000 + row} of the data" in said.evidence
        assert "impute" in said.remedy


def test_a_layer_that_overflows_is_named_with_the_rows(tmp_path):
    """A finite input of 1e38 is too large for the first layer with weights of ten, and for no other row."""
    good = part()
    x = good.x.clone()
    x[17, 1:] = 1e38

    class Large(Ordered):
        def init(self, net):
            with torch.no_grad():
                net.params["first.weight"].fill_(10.0)
            return super().init(net)

    said, kept, _ = train(tmp_path / "run", data=Part(x, good.y, good.rows), rule=Large(fresh_rule().inner))
    assert said.layer == "first"
    assert "rows 17 of the data" in said.evidence
    assert "its input is finite and its output is not" in said.evidence
    assert bool((kept["first.weight"] == 10).all()) or finite(kept)


def test_a_diverged_run_is_finished_and_resuming_it_changes_nothing(tmp_path):
    train(tmp_path / "run", rule=Sabotaged("gradient", 8))
    before = (tmp_path / "run" / LAST).read_bytes()
    events = list(training(tmp_path / "run", epochs=EPOCHS, rule=Sabotaged("gradient", 8)).run())
    assert [type(e).__name__ for e in events] == ["Finished"]
    assert events[0].reason == "diverged"
    assert (tmp_path / "run" / LAST).read_bytes() == before


def test_a_validation_that_is_not_a_number_is_never_the_best(tmp_path):
    """NaN compares false with everything: taken for an improvement, or for a best that nothing can beat, in other libraries."""
    scores = [0.5, float("nan"), 0.4, float("nan")]
    running = training(tmp_path, epochs=4, validate=lambda _: {"loss": scores[running.position.epoch - 1]})
    assert [e.best for e in running.run() if type(e).__name__ == "Evaluated"] == [True, False, True, False]
    first = training(tmp_path / "none", epochs=2, validate=lambda _: {"loss": float("nan")})
    (tmp_path / "none").mkdir()
    assert list(first.run())[-1].best_epoch == 0


def test_the_net_and_the_rule_alone_would_have_kept_it():
    """That the sabotage works: without the engine the same steps leave NaN in the weights."""
    net, rule, good = fresh_net(), Sabotaged("gradient", 1), part()
    state = rule.init(net)
    for _ in range(3):
        net, state, report = rule.step(net, state, Batch(good.x.float(), good.y))
    assert not finite(net.tensors)
    assert not finite(cross_entropy().each(net(good.x), good.y))
    assert not finite(report)
