"""Options of every command are held to their ranges and words before anything is done; what a picture does not depend on is refused."""

import pytest

from chainrule.cli.main import run_command


@pytest.mark.parametrize(("words", "sentence"), [
    ("encode runs/x digits --neighbours 0", "--neighbours must be at least 1; got 0. Leave it out for the codes alone."),
    ("predict runs/x new.csv --beam 0", "--beam must be at least 1; got 0."),
    ("predict runs/x new.csv --anomaly 2", "--anomaly is above 0 and below 1; got 2.0."),
    ("sample runs/x --n 0", "--n must be at least 1; got 0."),
    ("picture runs/x saliency --row -1", "--row must be at least 0; got -1."),
    ("picture runs/x flow --reading weights", "--reading is gradient, update, activation-sd or dead; got 'weights'."),
    ("serve runs --port 70000", "--port must be at least 0 and at most 65535; got 70000."),
    ("picture runs/x weights --layer hidden1", "--layer is for filters and activations; the picture weights does not depend on it. "
                                               "Leave it out."),
    ("picture runs/x graph --at a=1", "--at is for graph of a formula; the picture graph does not depend on it. Leave it out."),
    ("picture a*b graph --row 3", "--row is for activations, saliency, occlusion, attention and graph; the picture graph of a formula "
                                  "does not depend on it. Leave it out."),
    ("picture paths --plane random", "--plane is for surface; the picture paths does not depend on it. Leave it out."),
    ("picture runs/x wieghts --layer hidden1", "There is no run in runs/x."),
    ("train --epochs", "--epochs lacks its value. See chainrule train --help."),
    ("sample runs/x --n", "--n lacks its value. See chainrule sample --help."),
])
def test_what_cannot_be_is_one_sentence(words, sentence, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_command(words.split()) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(sentence)
    assert len(told.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())
