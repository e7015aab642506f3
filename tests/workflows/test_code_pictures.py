"""Pictures of codes: drawn where a net has them, refused in a sentence where not, and in the report."""

import pytest
import torch

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import InputError
from chainrule.observe.neighbours import near, two_components
from chainrule.plots.codes import reconstructions, scatter, sheet
from chainrule.workflows import code_pictures
from chainrule.workflows.picture import picture

QUICK = {"plan": "eager", "threads": 1, "progress": False}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


def test_a_variational_net_of_two_codes_has_all_pictures_in_its_report():
    run = cr.train("digits", net="vae:hidden=30,code=2", epochs=2, out="run", **QUICK)
    again = cr.Run("run")
    captions = [caption for caption, _ in code_pictures.pictures_of(again.trained, again.validation)]
    assert captions == list(code_pictures.CAPTIONS.values())
    page = again.report().read_text()
    for caption in (*captions, "reconstructions"):
        assert caption in page
    for kind in code_pictures.KINDS:
        assert picture(again, kind).path.read_bytes().startswith(b"\x89PNG")
    assert run_command(["picture", str(run.path), "codes", "--overwrite", "--out", "c.png"]) == 0


def test_labels_that_were_not_learned_from_colour_codes():
    run = cr.train("digits", net="rbm:hidden=6", epochs=1, **QUICK)
    kept = run.validation
    part = run.job.data.valid.rows_at(0, len(kept.inputs))
    assert torch.equal(kept.labels, run.job.data.source.targets[part.rows].long())
    figure = code_pictures.codes(run.trained, kept)
    assert {text.get_text() for text in figure.axes[0].texts} == {str(i) for i in range(10)}


def test_rows_without_classes_and_tables_have_the_scatter_alone():
    run = cr.train("iris", net="autoencoder:code=3", epochs=1, **QUICK)
    assert [c for c, _ in code_pictures.pictures_of(run.trained, run.validation)] == [code_pictures.CAPTIONS["codes"]]
    for kind, words in (("interpolation", "reads none here"), ("neighbours", "reads none here"), ("manifold", "vae:code=2")):
        with pytest.raises(InputError, match=words):
            code_pictures.KINDS[kind](run.trained, run.validation)
    plain = cr.train("iris", net="softmax", epochs=1, **QUICK)
    for kind in code_pictures.KINDS:
        with pytest.raises(InputError, match="Train --net"):
            code_pictures.KINDS[kind](plain.trained, plain.validation)
    assert code_pictures.pictures_of(plain.trained, plain.validation) == []


def test_the_plane_of_codes_goes_along_the_first_number_to_the_right_and_up_along_the_second():
    run = cr.train("digits", net="vae:hidden=8,code=2", epochs=1, **QUICK)
    seen = []
    decode = run.net.decode
    run.net.decode = lambda code: seen.append(code) or decode(code)
    code_pictures.manifold(run.trained, run.validation)
    plane = seen[0].view(code_pictures.SIDE, code_pictures.SIDE, 2)
    assert bool((plane[0, 1:, 0] > plane[0, :-1, 0]).all())
    assert bool((plane[:-1, 0, 1] > plane[1:, 0, 1]).all())
    shares = torch.distributions.Normal(0.0, 1.0).cdf(plane[0, :, 0]).diff()
    torch.testing.assert_close(shares, shares[:1].expand_as(shares), rtol=1e-3, atol=1e-5)


def test_an_interpolation_is_a_straight_line_between_two_codes():
    run = cr.train("digits", net="autoencoder:code=4", epochs=1, **QUICK)
    seen = []
    decode = run.net.decode
    run.net.decode = lambda code: seen.append(code) or decode(code)
    code_pictures.interpolation(run.trained, run.validation)
    path = seen[0].view(code_pictures.PAIRS, code_pictures.STEPS, 4)
    torch.testing.assert_close(path.diff(dim=1), path.diff(dim=1)[:, :1].expand(-1, code_pictures.STEPS - 1, -1), rtol=1e-3, atol=1e-5)
    codes = run.trained.codes(run.validation.inputs)
    for end in (path[0, 0], path[-1, -1]):
        assert float((codes - end).norm(dim=1).min()) < 1e-4


def test_neighbours_are_those_of_all_distances_in_blocks(monkeypatch):
    from chainrule.observe import neighbours

    monkeypatch.setattr(neighbours, "BLOCK", 7)
    codes = torch.randn(40, 3)
    away = (codes[:, None] - codes).double().norm(dim=2)
    asked = away + torch.diag(torch.full((40,), torch.inf, dtype=torch.float64))
    assert torch.equal(near(codes, 4), asked.argsort(1)[:, :4])
    assert torch.equal(near(codes, 4, codes[:5]), away[:5].argsort(1)[:, :4])
    assert near(codes[:3], 9).shape == (3, 2)


def test_two_components_keep_as_much_variance_as_the_covariances_largest_eigenvalues():
    codes = torch.randn(50, 5, dtype=torch.float64) @ torch.randn(5, 5, dtype=torch.float64)
    places, share = two_components(codes)
    values = torch.linalg.eigvalsh(torch.cov(codes.T))
    assert share == pytest.approx(float(values[-2:].sum() / values.sum()))
    torch.testing.assert_close(places.var(0), values[-2:].flip(0))
    narrow = torch.randn(9, 1)
    assert torch.equal(two_components(narrow)[0][:, 0], narrow[:, 0].double())


def test_sheets_show_pictures_in_their_places():
    pages = torch.zeros(2, 3, 1, 4, 4)
    pages[1, 2] = 1.0
    drawn = sheet(pages, ("a", "b")).axes[0].images[0].get_array()
    assert drawn.shape == (9, 14)
    assert (drawn[5:, 10:] == 1).all()
    assert (drawn[:4, :4] == 0).all()
    figure = reconstructions(torch.rand(5, 16), torch.rand(5, 16), (), (1, 4, 4))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["original", "given back"]
    assert reconstructions(torch.rand(0, 16), torch.rand(0, 16), (), (1, 4, 4)) is None
    assert len(scatter(torch.rand(5, 2), torch.tensor([0, 1, 1, 0, 1]), ("x", "y"), ("a", "b"), "t").axes[0].texts) == 2
