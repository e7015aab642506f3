"""A run whose rows stay on disk, from the file to the report: it resumes exactly and reads the file the same way again."""

import numpy as np
import polars as pl
import pytest
import torch

import chainrule as cr
from chainrule.core.errors import Interrupted
from chainrule.core.events import Progressed
from chainrule.data.storage.stored import Streamed
from chainrule.engine import loop as loop_module
from chainrule.engine.stop import Stop


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    draw = np.random.default_rng(0)
    x = draw.normal(size=(400, 3))
    frame = pl.DataFrame({**{f"x{i}": x[:, i] for i in range(3)}, "y": np.where(x[:, 0] + x[:, 1] > 0, "up", "down")})
    frame.write_parquet(tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


def trained(table, out, **more):
    source = cr.load(table, target="y", stream=True)
    return cr.train(source, net="mlp:hidden=4", optimizer="adam:rate=0.03", epochs=4, batch=7, plan="eager", threads=1, out=out,
                    progress=False, **more)


def test_a_streamed_run_resumes_to_the_same_bits_and_is_reported(table, tmp_path, monkeypatch):
    whole = trained(table, tmp_path / "whole")
    assert isinstance(whole.job.data.train.x, Streamed)
    monkeypatch.setattr(loop_module, "PROGRESS_SECONDS", 0.0)
    stop, seen = Stop(), []

    def watch(event):
        seen.append(event)
        if isinstance(event, Progressed) and event.step > 60:
            stop.request("SIGINT")

    with pytest.raises(Interrupted):
        trained(table, tmp_path / "cut", stop=stop, sinks=[watch])
    assert 60 < max(e.step for e in seen if isinstance(e, Progressed)) < 100
    again = cr.resume(tmp_path / "cut", progress=False)
    assert isinstance(again.job.data.train.x, Streamed)
    assert all(torch.equal(a, b) for a, b in zip(whole.net.state_dict().values(), again.net.state_dict().values(), strict=True))
    assert whole.test().accuracy > 0.8
    assert whole.report().stat().st_size > 1000


def test_streamed_pictures_are_in_the_report(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.setenv("HOME", str(tmp_path))
    draw = np.random.default_rng(0)
    for label in ("dark", "light"):
        (tmp_path / "pics" / label).mkdir(parents=True)
        for i in range(30):
            pixels = draw.integers(0, 256, (8, 8)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pics" / label / f"{i}.png")
    source = cr.load(tmp_path / "pics", stream=True)
    run = cr.train(source, net="softmax", epochs=1, plan="eager", threads=1, out=tmp_path / "r", progress=False)
    assert isinstance(run.job.data.train.x, Streamed)
    assert "taken for" in run.report().read_text()
