"""Posteriors along frames: what is drawn is what the net says, peaks are named, and what is past the end is left out."""

import torch

from chainrule.plots.label_posteriors import label_posteriors, peaks


def test_a_peak_is_the_greatest_of_each_run_above_what_is_drawn():
    assert peaks(torch.tensor([0.0, 0.2, 0.9, 0.3, 0.05, 0.4, 0.0, 0.2, 0.3])) == [2, 5, 8]
    assert peaks(torch.tensor([0.5])) == [0]
    assert peaks(torch.zeros(4)) == []


def test_lines_are_the_shares_up_to_the_end_and_letters_stand_at_the_peaks():
    frames = torch.rand(2, 6, 4)
    shares = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.1, 0.7, 0.2], [0.1, 0.1, 0.8], [0.1, 0.1, 0.8], [0.1, 0.1, 0.8]])
    posteriors = torch.stack([shares, torch.cat([shares[:3], torch.zeros(3, 3)])])
    answer, truth = torch.tensor([[0, 1], [0, 1]]), torch.tensor([[0, 1], [0, -1]])
    figure = label_posteriors(answer, truth, (), frames, posteriors, ("a", "b"))
    first, second = figure.axes[1], figure.axes[3]
    torch.testing.assert_close(torch.as_tensor(first.lines[0].get_ydata()), shares[:, 2])
    assert [len(line.get_ydata()) for line in second.lines] == [3, 3, 3]
    assert [(note.get_text(), note.xy[0]) for note in first.texts] == [("a", 0), ("b", 2)]
    assert figure.axes[0].get_title(loc="left") == "read ab, true ab"
    assert figure.axes[2].get_title(loc="left") == "read ab, true a"
