"""An autoencoder of sequences: a code that depends on all of what was read, and a sequence that is written from the code alone."""

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.nets.sequence_autoencoder import SequenceAutoencoder


def net(**options):
    torch.manual_seed(0)
    return SequenceAutoencoder((7, 3), 21, **{"hidden": 6, "code": 4, **options}).double()


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_what_is_written_follows_from_the_code_alone_and_the_code_from_every_step(cell):
    module, x = net(cell=cell), torch.randn(2, 7, 3, dtype=torch.double)
    code = module.encode(x)
    assert code.shape == (2, 4)
    torch.testing.assert_close(module.decode(code), module(x))
    slopes = torch.autograd.functional.jacobian(lambda some: module.encode(some).sum(0), x)             # (code, n, t, d)
    assert bool((slopes.abs().sum((0, 3)) > 0).all())


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_decoder_is_its_cell_step_by_step(cell):
    module, code = net(cell=cell), torch.randn(2, 4, dtype=torch.double)
    state, rows = tuple(torch.tanh(module.starts(code)).chunk(len(module.decoder.parts), 1)), []
    for _ in range(7):
        state = module.decoder.cell(module.decoder.reads(code), state)
        rows.append(module.output(state[0]))
    torch.testing.assert_close(module.decode(code), torch.stack(rows, 1).flatten(1))


def test_it_learns_sequences_by_heart(tmp_path):
    run = cr.train("motifs:count=40,length=8", net="sequence-autoencoder:hidden=24,code=16", loss="binary-cross-entropy",
                   optimizer="adam:rate=0.02", batch=8, epochs=40, plan="eager", threads=1, progress=False, out=tmp_path / "run")
    first, last = run.history[0]["train_loss"], run.history[-1]["train_loss"]
    assert last < 0.6 * first
    assert run.encode("motifs:count=40,length=8").shape == (40, 16)


def test_what_is_no_sequence_is_refused():
    with pytest.raises(InputError, match="--net autoencoder"):
        SequenceAutoencoder((5,), 5)
    with pytest.raises(InputError, match="at least one number; got 0"):
        SequenceAutoencoder((5, 2), 10, code=0)
