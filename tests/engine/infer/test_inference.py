"""Inference: every program says what the net says, what does not is refused with its reason, and the numbers do not depend on blocks."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from torch import nn

from chainrule.core.errors import PlanRejected
from chainrule.core.net import Net
from chainrule.engine.infer import inference as inference_module
from chainrule.engine.infer.inference import Chosen, Inference, Way, build, check, choose, disagreement, most_rows, plain_rows
from chainrule.engine.infer.replay import Unrecordable, record
from chainrule.nets.feedforward import mlp
from chainrule.nets.lenet import LeNet

ROWS = 16


class Residual(nn.Module):
    """What users write: batch norm, a residual connection, rectifiers in place, dropout."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.second, self.again = nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.BatchNorm2d(8, affine=False)
        self.rectify, self.dropout = nn.ReLU(inplace=True), nn.Dropout(0.5)
        self.hidden, self.flat, self.output = nn.Linear(8 * 16, 12), nn.BatchNorm1d(12), nn.Linear(12, 3, bias=False)

    def forward(self, x):
        below = self.rectify(self.norm(self.first(x)))
        above = self.again(self.second(self.dropout(below)))
        above += below
        pooled = nn.functional.avg_pool2d(self.rectify(above), 2)
        return self.output(torch.tanh(self.flat(self.hidden(pooled.flatten(1)))))


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.output = nn.LSTM(5, 7, batch_first=True), nn.Linear(7, 3)

    def forward(self, x):
        return self.output(self.lstm(x)[0][:, -1])


NETS = {
    "mlp": (lambda: mlp((9,), 4, hidden=(8, 6)), (9,)),
    "sigmoid mlp": (lambda: mlp((9,), 4, hidden=(8,), activation="sigmoid", output="softmax"), (9,)),
    "lenet": (lambda: LeNet((1, 12, 12), 10, filters=(4, 6), hidden=20, kernel=3), (1, 12, 12)),
    "padded lenet": (lambda: LeNet((2, 12, 12), 10, filters=(4, 6), hidden=20, padding="same"), (2, 12, 12)),
    "average lenet": (lambda: LeNet((1, 12, 12), 10, filters=(4,), hidden=20, pooling="average", activation="tanh", dropout=0.3),
                      (1, 12, 12)),
    "residual": (Residual, (3, 8, 8)),
    "lstm": (Reader, (6, 5)),
}


NOT_NATIVE = {"lstm": "does not know"}


def made(name):
    """A net that has seen data, so that its moments are not the initial ones."""
    torch.manual_seed(0)
    make, shape = NETS[name]
    module = make()
    for _ in range(3):
        module(2 * torch.randn(32, *shape) + 1)
    return module.eval(), shape


def inferring(module):
    return Inference(Net.of(module), lambda x: x, torch.device("cpu"))


@pytest.mark.parametrize("kind", ["recorded", "packed", "native", "channels-last", "compiled"])
@pytest.mark.parametrize("name", NETS)
def test_every_program_says_what_the_net_says(name, kind):
    if kind == "channels-last" and len(NETS[name][1]) != 3:
        pytest.skip("no pictures")
    module, shape = made(name)
    mine = inferring(module)
    rows = torch.randn(3 * ROWS, *shape)
    way = Way(ROWS, kind)
    if kind == "native" and name in NOT_NATIVE:
        with pytest.raises(PlanRejected, match=NOT_NATIVE[name]):
            build(mine, way, rows)
        return
    run = build(mine, way, rows, backend="eager")
    check(mine, way, run, rows[ROWS:])
    for batch in rows.split(ROWS):
        torch.testing.assert_close(run(batch), module(batch), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("packed", [False, True])
def test_what_can_be_joined_is(packed):
    module, shape = made("residual")
    program = record(module, torch.randn(ROWS, *shape), packed)
    names = [getattr(step.run, "__name__", str(step.run)) for step in program.steps]
    assert not any("norm" in name for name in names)
    assert any("convolution_pointwise" in name for name in names) == packed
    lenet, shape = made("lenet")
    assert len(record(lenet, torch.randn(ROWS, *shape), packed).steps) == (7 if packed else 10)


def test_folded_batch_norm_is_its_definition():
    """Second derivation in float64, layer by layer: gamma (z - mean) / sqrt(variance + eps) + beta."""
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(2, 5, 3, stride=2).double(), nn.BatchNorm2d(5, eps=0.3).double()
    linear, flat = nn.Linear(5 * 9, 4).double(), nn.BatchNorm1d(4, eps=0.2).double()
    with torch.no_grad():
        for n in (norm, flat):
            for t in (n.weight, n.bias, n.running_mean):
                t.normal_()
            n.running_var.uniform_(0.1, 3)
    x = torch.randn(ROWS, 2, 8, 8, dtype=torch.float64)
    program = record(nn.Sequential(conv, norm, nn.Flatten(), linear, flat).eval(), x[:ROWS])

    def by_definition(n, z):
        shape = (1, -1, *[1] * (z.dim() - 2))
        mean, variance, gamma, beta = (t.reshape(shape) for t in (n.running_mean, n.running_var, n.weight, n.bias))
        return gamma * (z - mean) / (variance + n.eps).sqrt() + beta

    by_hand = by_definition(flat, linear(by_definition(norm, conv(x)).flatten(1)))
    torch.testing.assert_close(program(x), by_hand, rtol=1e-10, atol=1e-10)
    assert len(program.steps) == 3


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("after", [nn.BatchNorm2d(2), nn.ReLU(), nn.ReLU(inplace=True), nn.Tanh()])
def test_what_has_two_readers_is_left_alone(after, packed):
    """Joining the layer with what comes after it would change what the other reader sees."""
    torch.manual_seed(0)

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.after = nn.Conv2d(1, 2, 3), after

        def forward(self, x):
            z = self.conv(x)
            said = self.after(z)
            return said + z * 3

    module = Twice().eval()
    if isinstance(after, nn.BatchNorm2d):
        after.running_mean.fill_(3)
    x, y = torch.randn(2, ROWS, 1, 5, 5).unbind()
    torch.testing.assert_close(record(module, x, packed)(y), module(y), rtol=1e-4, atol=1e-5)


class Branching(nn.Linear):
    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else -super().forward(x)


class Counting(nn.Linear):
    def __init__(self):
        super().__init__(5, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return super().forward(x) * self.calls


class Noisy(nn.Linear):
    def forward(self, x):
        return super().forward(x + torch.randn_like(x))


class Remembering(nn.Linear):
    """Leaves torch for a moment, so that a recording takes the first batch's numbers for weights."""

    def forward(self, x):
        return super().forward(torch.from_numpy(x.numpy() ** 2))


@pytest.mark.parametrize(("module", "reason"), [
    (Branching(5, 3), "depends on the values"), (Counting(), "changes a tensor that it keeps"), (Noisy(5, 3), "random numbers"),
    (Remembering(5, 3), "does not follow from its input"),
])
def test_what_cannot_be_recorded_says_why(module, reason):
    module.eval()
    with pytest.raises(Unrecordable, match=reason):
        record(module, torch.randn(ROWS, 5))
    with pytest.raises(PlanRejected, match=reason):
        build(inferring(module), Way(ROWS, "recorded"), torch.randn(2 * ROWS, 5))


def test_a_loop_over_time_is_not_unrolled_for_ever():
    class Long(nn.Linear):
        def forward(self, x):
            for _ in range(3000):
                x = x + 1
            return super().forward(x)

    with pytest.raises(Unrecordable, match="more than 2000 operations"):
        record(Long(5, 3).eval(), torch.randn(ROWS, 5))


class Half(nn.Linear):
    """What it recorded is right for the first batch alone: the second half of a row is a constant to the recording."""

    def forward(self, x):
        return super().forward(x * torch.from_numpy(1 + x.numpy().round()))


def test_a_program_that_disagrees_is_refused_and_the_job_goes_on():
    torch.manual_seed(0)
    module = Half(5, 3).eval()
    mine, rows = inferring(module), torch.randn(400, 5)
    way = Way(ROWS, "recorded")
    run = build(mine, way, rows)
    torch.testing.assert_close(run(rows[:ROWS]), module(rows[:ROWS]))  # the recorded batch itself agrees
    with pytest.raises(PlanRejected, match="disagrees with the net"):
        check(mine, way, run, rows[ROWS : 2 * ROWS])
    chosen = choose(mine, rows, ROWS, seconds=1.0, total=400)
    refused = {r["plan"].split(",")[0]: r["reason"] for r in chosen.rejected}
    assert "disagrees" in refused["recorded"]
    assert "disagrees" in refused["packed"]
    assert chosen.way.kind not in ("recorded", "packed")
    torch.testing.assert_close(mine.outputs(chosen.way, chosen.run, rows), module(rows))


def test_disagreement_counts_each_row_and_what_is_not_finite():
    a = torch.tensor([[1.0, 2.0], [100.0, 50.0]])
    assert disagreement(a, a) == 0
    # Row 1 is off by 0.1; its largest output is 2, a typical row's is 51.
    assert disagreement(a + torch.tensor([[0.1, 0], [0, 0]]), a) == pytest.approx(0.1 / 53)
    assert disagreement(a.where(a != 2, math.nan), a) == math.inf
    assert disagreement(a.where(a != 2, math.nan), a.where(a != 2, math.nan)) == 0
    assert disagreement(a.where(a != 2, math.inf), a.where(a != 2, math.inf)) == 0
    assert disagreement(a.where(a != 2, -math.inf), a.where(a != 2, math.inf)) == math.inf
    assert disagreement(a[:1], a) == math.inf


@pytest.mark.parametrize("kind", ["recorded", "native"])
@pytest.mark.parametrize("lanes", [0, 2])
def test_order_and_the_rows_left_over_do_not_depend_on_how_cores_share(lanes, kind):
    module, shape = made("lenet")
    mine, rows = inferring(module), torch.randn(5 * ROWS + 3, *shape)
    way = Way(ROWS, kind, lanes)
    said = mine.outputs(way, build(mine, way, rows), rows)
    torch.testing.assert_close(said, module(rows), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_native_program_keeps_its_workspaces():
    """As many as ran at once, however many threads come and go."""
    module, shape = made("mlp")
    mine, rows = inferring(module), torch.randn(16 * ROWS, *shape)
    way = Way(ROWS, "native", 2)
    run = build(mine, way, rows)
    spaces, make = [], run._make
    run._make = lambda: spaces.append(make()) or spaces[-1]
    for _ in range(4):
        torch.testing.assert_close(mine.outputs(way, run, rows), module(rows), rtol=1e-5, atol=1e-6)
    assert 1 <= len(spaces) <= 2


def test_lanes_leave_the_number_of_threads_as_it_was():
    module, shape = made("mlp")
    mine, rows = inferring(module), torch.randn(4 * ROWS, *shape)
    torch.set_num_threads(3)
    mine.outputs(Way(ROWS, "recorded", 2), module, rows)
    with ThreadPoolExecutor(1) as later:  # threads to come take the number from whoever set it last
        assert (torch.get_num_threads(), later.submit(torch.get_num_threads).result()) == (3, 3)


def test_an_error_in_one_lane_is_raised():
    module, shape = made("mlp")
    mine, rows = inferring(module), torch.randn(4 * ROWS, *shape)

    def broken(x):
        raise ValueError("lane broke")

    with pytest.raises(ValueError, match="lane broke"):
        mine.outputs(Way(ROWS, "recorded", 2), broken, rows)


def worth(monkeypatch, seconds=0.0):
    monkeypatch.setattr(inference_module, "WORTH_PLANNING_SECONDS", seconds)
    monkeypatch.setattr(inference_module, "PLANNING_SHARE", 1e6)


@pytest.mark.parametrize(("seconds", "planned"), [(0.4, False), (0.6, True)])
def test_small_jobs_are_not_planned_and_large_ones_are(monkeypatch, seconds, planned):
    """Told that 20,000 rows take less, or more, than the half second that is worth it; what they take here is no matter."""
    timed = Inference._timed
    monkeypatch.setattr(Inference, "_timed", lambda self, x, rows: (seconds / len(x), timed(self, x, rows)[1]))
    monkeypatch.setattr(inference_module, "PLANNING_SHARE", 1e6)
    module, shape = made("mlp")
    mine, rows = inferring(module), torch.randn(20_000, *shape)
    torch.testing.assert_close(mine(rows), module(rows), rtol=1e-4, atol=1e-5)
    assert (mine.chosen is not None) == planned
    if planned:
        told = {r["plan"].split(",")[0]: r["reason"] for r in mine.chosen.rejected}
        assert "compiling takes up to" in told["compiled"]


@pytest.mark.parametrize(("precision", "gain", "others"), [("fp32", 0.5, False), ("fp32", 0.9, True), ("bf16", 0.5, True)])
def test_where_a_native_program_is_far_faster_nothing_else_is_tried(monkeypatch, precision, gain, others):
    tried = []

    class Told(inference_module.Trials):
        def attempt(self, way):
            tried.append(way.kind)
            if way.kind == "native":
                self.best = replace(self.best, way=way, seconds_per_row=gain)
            return way.kind == "native"

    monkeypatch.setattr(inference_module, "Trials", Told)
    monkeypatch.setattr(inference_module.shutil, "which", lambda name: name)
    module, shape = made("mlp")
    mine = inferring(module)
    mine.precision = precision
    assert choose(mine, torch.randn(100, *shape), ROWS, 1.0, 100).way.kind == "native"
    assert tried[0] == "native"
    assert (len(tried) > 1) == others


def test_changed_weights_are_seen(monkeypatch):
    """A recorded program holds the weights of its time; it must not outlive them."""
    worth(monkeypatch)
    module, shape = made("lenet")
    mine, rows = inferring(module), torch.randn(3000, *shape)
    mine(rows)
    mine.chosen.way, mine.chosen.run = Way(ROWS, "packed"), build(mine, Way(ROWS, "packed"), rows)
    with torch.no_grad():
        module.output.weight *= -1
    torch.testing.assert_close(mine(rows), module(rows), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("way", [Way(512), Way(1024, "recorded"), Way(512, "recorded", 2), Way(256, "packed", 2), Way(512, "native", 2),
                                 Way(2048, "channels-last")], ids=lambda way: way.name)
def test_blocks_give_the_numbers_of_one_call(monkeypatch, way):
    """By whichever way the first block has chosen, which another machine may choose otherwise."""
    asked = []

    def chosen(inference, x, rows, seconds, total):
        asked.append(total)
        return Chosen(way, build(inference, way, x), 1e-6, "given")

    worth(monkeypatch)
    monkeypatch.setattr(inference_module, "choose", chosen)
    module, shape = made("lenet")
    mine = inferring(module)
    block = most_rows(4 * math.prod(shape))
    assert block % way.rows == 0
    rows = torch.randn(2 * block + 5, *shape)
    whole = mine(rows)
    assert torch.equal(whole, torch.cat([mine(b, len(rows)) for b in rows.split(block)]))
    assert asked == [len(rows)], "another way was chosen in mid-job"


def test_whether_to_plan_is_decided_with_the_first_block(monkeypatch):
    """Else a slower moment in the middle of a file would change the rounding of its second half."""
    module, shape = made("mlp")
    mine, rows = inferring(module), torch.randn(20_000, *shape)
    worth(monkeypatch, float("inf"))
    mine(rows, 100_000)
    worth(monkeypatch)
    mine(rows, 100_000)
    assert mine.chosen is None
    mine(rows, 100_001)
    assert mine.chosen is not None


@pytest.mark.parametrize("row_bytes", [1, 40, 784, 3136, 12288, 10**6, 10**9])
def test_batches_divide_blocks(row_bytes):
    plain, most = plain_rows(row_bytes), most_rows(row_bytes)
    assert 16 <= plain <= most <= 4096
    assert most % plain == 0


def test_a_net_that_learns_is_run_as_it_is(monkeypatch):
    worth(monkeypatch)
    module, shape = made("mlp")
    mine, rows = inferring(module.train()), torch.randn(20_000, *shape)
    mine(rows)
    assert mine.chosen is None
    torch.testing.assert_close(mine.plainly(rows), module(rows))
