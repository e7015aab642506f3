"""Strings read off frames: learned, measured by hand, refused where they cannot be said, and written as words."""

import pytest
import torch

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.registry import losses
from chainrule.data import fingerprint
from chainrule.data.source import Source
from chainrule.evaluate.strings import edit_distances
from chainrule.tasks.transcription import Aligned, Transcription, ended
from chainrule.workflows.predict import answers

QUICK = {"plan": "eager", "threads": 1, "progress": False}


def bars(n: int = 120, lowest: int = 1) -> Source:
    """Frames of a bar whose height is a symbol's, two or three frames each, with gaps of one to three between."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.zeros(n, 24, 4, dtype=torch.uint8), torch.full((n, 3), -1)
    for i in range(n):
        at = 1
        for k in range(int(torch.randint(lowest, 4, (1,), generator=generator))):
            symbol, wide, gap = (int(torch.randint(low, high, (1,), generator=generator)) for low, high in ((0, 4), (2, 4), (1, 4)))
            x[i, at : at + wide, symbol], y[i, k] = 255, symbol
            at += wide + gap
    return Source("bars", x, y, "labels", {"kind": "memory", "what": "bars"}, fingerprint.of(x, y, tuple("abcd")), tuple("abcd"))


def test_a_net_with_memory_learns_to_read_bars(tmp_path):
    source = bars()
    run = cr.train(source, net="lstm:hidden=16,bidirectional=yes", optimizer="adam:rate=0.02", epochs=30, batch=20, out=tmp_path / "run",
                   **QUICK)
    result, data = run.test(), run.job.data
    assert run.job.task.name == "transcription"
    part = data.door.open("by hand")
    answer = run.job.trained.predictions(part)
    away, sizes = edit_distances(answer, part.y), (part.y >= 0).sum(1)
    assert result.measures["edit_distance"].value == pytest.approx(float(away.sum() / sizes.sum()))
    assert result.measures["exact"].value == pytest.approx(float((away == 0).double().mean()))
    assert result.measures["exact"].value > 0.8
    assert result.baseline.measures["edit_distance"].value > 0.5
    words, _ = answers(run.job.trained, source)
    assert run.job.task.columns(words)["prediction"][0] == "".join("abcd"[k] for k in source.targets[0].tolist() if k >= 0)


def test_frames_past_the_end_say_nothing_and_cost_nothing():
    torch.manual_seed(0)
    x, outputs = torch.rand(2, 6, 3), torch.randn(2, 6, 5)
    x[1, 4:] = 0
    y = torch.tensor([[0, 1, 2], [3, -1, -1]])
    criterion = Aligned(losses.choose("ctc").make())
    short = criterion.costs(outputs[1:, :4], Batch(x[1:, :4], y[1:]))
    torch.testing.assert_close(criterion.costs(outputs, Batch(x, y))[1:], short)
    assert ended(outputs, x)[1, 4:].argmax(1).tolist() == [4, 4]


def test_a_string_longer_than_its_frames_is_refused_with_its_row():
    source = bars()
    x, y = source.inputs.clone(), source.targets.clone()
    x[7] = 0
    x[7, :2, 0], y[7] = 255, torch.tensor([0, 0, -1])
    with pytest.raises(InputError, match=r"row 8: a string of 2 symbols needs at least 3 frames; got 2"):
        Transcription.read(Source(**{**vars(source), "inputs": x, "targets": y}), 64)
    with pytest.raises(InputError, match="holds none"):
        Transcription.read(cr.load("iris"), 64)


def test_strips_of_digits_are_read_column_by_column():
    source = cr.load("strips:count=20,fewest=2,digits=4,source=digits")
    assert source.target_kind == "labels"
    sizes = (source.targets >= 0).sum(1)
    assert (sizes.min(), sizes.max()) == (2, 4)
    frames = Transcription.read(source, 64)
    torch.testing.assert_close(frames.inputs[3].T, source.inputs[3, 0])
    fixed = cr.load("strips:count=20,digits=4,source=digits")
    assert fixed.target_kind == "steps"
    assert Transcription.read(fixed, 64).target_kind == "labels"


def test_what_is_drawn_along_frames_are_shares_up_to_the_last_frame_and_none_after(tmp_path):
    run = cr.train(bars(40), net="lstm:hidden=4", steps=2, batch=8, out=tmp_path / "run", **QUICK)
    run.test()
    assert (tmp_path / "run" / "label-posteriors.png").exists()
    assert "label posteriors" in run.report().read_text()
    torch.manual_seed(0)
    x, outputs = torch.rand(2, 6, 3), torch.randn(2, 6, 5)
    x[1, 4:] = 0
    shares = run.job.task.posteriors(outputs, x)
    torch.testing.assert_close(shares.sum(2), torch.tensor([[1.0] * 6, [1.0] * 4 + [0.0] * 2]))
    torch.testing.assert_close(shares[0].log(), outputs[0].log_softmax(1))
