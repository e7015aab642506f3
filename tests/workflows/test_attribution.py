"""Pictures of what a run's net looks at: the rows and layers that are named, and what is refused."""

import pytest
import torch

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import InputError
from chainrule.workflows import attribution
from chainrule.workflows.picture import picture


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return cr.train("digits", net="convnet:pattern=4-6-pool,dense=8", epochs=1, plan="eager", progress=False,
                    out=tmp_path_factory.mktemp("runs") / "digits")


@pytest.mark.parametrize("kind", [kind for kind in attribution.KINDS if kind != "attention"])      # of which strings are asked
def test_each_kind_is_drawn_and_the_net_stays(run, kind, tmp_path):
    before = {name: t.clone() for name, t in run.net.state_dict().items()}
    drawn = picture(run, kind, tmp_path / f"{kind}.png")
    assert drawn.path.read_bytes()[:4] == b"\x89PNG"
    assert all(torch.equal(t, before[name]) for name, t in run.net.state_dict().items())


def test_the_row_and_the_layer_that_are_named_are_drawn(run, monkeypatch):
    drawn = []
    monkeypatch.setattr(attribution, "layer_maps", lambda pixels, maps, caption: drawn.append((pixels, maps, caption)))
    row = int(run.job.data.train.rows[3])
    attribution.activations(run, attribution.Drawing(row=row, layer="relu2"))
    pixels, maps, caption = drawn[0]
    part = run.job.data.train
    x = run.job.trained.ready(part.x[3:4])
    torch.testing.assert_close(maps, run.net.eval()[:4](x)[0])
    assert pixels.shape == (1, 8, 8)
    assert f"row {row}" in caption
    assert "relu2" in caption


def test_captions_name_the_right_class_and_the_two_best_guesses(run, monkeypatch):
    drawn = []
    monkeypatch.setattr(attribution, "beside", lambda *given, **options: drawn.append((given, options)))
    attribution.saliency(run, attribution.Drawing())
    (_, maps, captions, _), _ = drawn[0]
    valid = run.job.data.valid
    answers = run.job.trained.predictions(valid)[:6]
    assert len(captions) == len(maps) == 6
    for caption, answer, true in zip(captions, answers, run.job.trained.truth(valid)[:6], strict=True):
        best, second = answer.topk(2).indices.tolist()
        assert caption.splitlines()[0] == f"is {int(true)}"
        assert [line.split(":")[0] for line in caption.splitlines()[1:]] == [str(best), str(second)]


def test_test_rows_are_not_looked_at(run):
    with pytest.raises(InputError, match="belongs to the test part"):
        picture(run, "saliency", row=int(run.job.data.door.rows[0]))
    assert run.job.data.door.opened == 0


@pytest.mark.parametrize(("words", "message"), [
    (["saliency", "--row", "5000"], "has no row 5000; rows are numbered from 0 to 1796"),
    (["filters", "--layer", "convx"], "Did you mean conv1"), (["filter"], "Did you mean filters")])
def test_what_is_not_there_is_refused(run, words, message, capsys):
    assert run_command(["picture", str(run.path), *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_nets_without_pictures_or_classes_are_told_what_to_draw(tmp_path):
    plain = cr.train("iris", net="mlp:hidden=4", epochs=1, plan="eager", progress=False, out=tmp_path / "iris")
    for kind in ("saliency", "activations"):
        with pytest.raises(InputError, match="reads no pictures"):
            picture(plain, kind)
    with pytest.raises(InputError, match="no filters larger than one pixel"):
        picture(plain, "filters")
