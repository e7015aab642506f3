"""R07: a flipped bit, a cut, a swap or an appendix anywhere is refused by name, and the run goes on from the checkpoint before it."""

import random
import shutil

import pytest
from safetensors.torch import load
from worker import RUN, differences, fresh_net, outcome, stopping_at, training

from chainrule.core.errors import CorruptFile, InputError
from chainrule.core.events import Finished, Warned
from chainrule.engine import checkpoint
from chainrule.engine.store import BEST, LAST, PREVIOUS, Store

EPOCHS = 2


def train(folder, steps=None):
    stop, watch = stopping_at(steps)
    folder.mkdir(exist_ok=True)
    return list(training(folder, epochs=EPOCHS, stop=stop, watch=watch).run())


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run stopped in its second epoch, with three checkpoints."""
    folder = tmp_path_factory.mktemp("stopped")
    train(folder, steps=9)
    assert all((folder / name).exists() for name in (LAST, PREVIOUS, BEST))
    return folder


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(folder)
    return outcome(folder)


def refused(path, content):
    path.write_bytes(content)
    with pytest.raises(CorruptFile, match=path.name):
        checkpoint.read(path)


def flips(path, content, times):
    """Half of them in the header, which is where names, shapes and the hash itself are."""
    chance, header = random.Random(2), 8 + int.from_bytes(content[:8], "little")
    places = [(bit // 8, bit % 8) for bit in range(64)]  # every bit of the header's length
    places += [(chance.randrange(header if i % 2 else len(content)), chance.randrange(8)) for i in range(times - len(places))]
    unnoticed = 0
    for byte, bit in places:
        flipped = bytearray(content)
        flipped[byte] ^= 1 << bit
        refused(path, bytes(flipped))
        try:
            load(bytes(flipped))
            unnoticed += 1
        except Exception:  # whatever safetensors itself raises
            pass
    return unnoticed


def test_single_bits(stopped, tmp_path):
    unnoticed = flips(tmp_path / "x.safetensors", (stopped / LAST).read_bytes(), 300)
    assert unnoticed > 100, "the flips were such that safetensors alone would notice them, so this tried nothing"


@pytest.mark.slow
def test_two_thousand_single_bits(stopped, tmp_path):
    flips(tmp_path / "x.safetensors", (stopped / LAST).read_bytes(), 2000)


def test_every_cut_and_every_appendix(stopped, tmp_path):
    content, chance, path = (stopped / LAST).read_bytes(), random.Random(3), tmp_path / "x.safetensors"
    for length in [0, 1, 7, 8, 9, len(content) - 1, *(chance.randrange(len(content)) for _ in range(100))]:
        refused(path, content[:length])
    for more in (b"\0", b" ", b"\n", b"{}", content[:8], content, bytes(4096)):
        refused(path, content + more)
        refused(path, more + content)


def test_holes_and_zeros_as_a_lost_page_leaves_them(stopped, tmp_path):
    content, chance = (stopped / LAST).read_bytes(), random.Random(4)
    for _ in range(50):
        begin = chance.randrange(len(content) - 512)
        blank = content[:begin] + bytes(512) + content[begin + 512 :]
        if blank != content:
            refused(tmp_path / "x.safetensors", blank)


def go_on(stopped, tmp_path, expected, damage):
    """Resume a damaged copy: it says which file it refused, and the outcome is that of the undisturbed run."""
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    damage(folder)
    events = train(folder)
    assert isinstance(events[-1], Finished)
    assert differences(outcome(folder), expected) == []
    return [e.message for e in events if isinstance(e, Warned)]


def flip(path, at=-1):
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)


def swap(a, b):
    (a_content, b_content) = a.read_bytes(), b.read_bytes()
    a.write_bytes(b_content)
    b.write_bytes(a_content)


def another_run(path):
    tensors, payload = checkpoint.read(path)
    checkpoint.write(path, tensors, {**payload, "run": "another-run"})


DAMAGES = {
    "a bit of the weights": lambda run: flip(run / LAST),
    "a bit of the header": lambda run: flip(run / LAST, 100),
    "cut in half": lambda run: (run / LAST).write_bytes((run / LAST).read_bytes()[:4000]),
    "empty": lambda run: (run / LAST).write_bytes(b""),
    "best and last swapped": lambda run: swap(run / BEST, run / LAST),
    "last of another run": lambda run: another_run(run / LAST),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_run_goes_on_from_the_checkpoint_before(stopped, tmp_path, expected, damage):
    warnings = go_on(stopped, tmp_path, expected, DAMAGES[damage])
    assert len(warnings) == (2 if damage == "best and last swapped" else 1)       # both are then bad, and both are said
    assert str(tmp_path / "run" / LAST) in warnings[0]
    assert PREVIOUS in warnings[0]


def test_a_missing_last_checkpoint_is_made_up_for_too(stopped, tmp_path, expected):
    assert go_on(stopped, tmp_path, expected, lambda run: (run / LAST).unlink()) == []


def test_bad_best_weights_are_said_when_they_are_written_anew(stopped, tmp_path, expected):
    warnings = go_on(stopped, tmp_path, expected, lambda run: flip(run / BEST))
    assert len(warnings) == 1
    assert f"{BEST} does not match its SHA-256" in warnings[0]
    assert f"written anew from {LAST}" in warnings[0]


def test_best_weights_come_from_the_last_checkpoint_where_their_own_file_is_bad(stopped, tmp_path):
    folder, good, net = tmp_path / "run", fresh_net(), fresh_net()
    shutil.copytree(stopped, folder)
    assert Store(folder, RUN).load_best(good) == []
    for damage in (lambda: flip(folder / BEST), lambda: another_run(folder / BEST), lambda: swap(folder / BEST, folder / LAST)):
        shutil.copytree(stopped, folder, dirs_exist_ok=True)
        damage()
        said = Store(folder, RUN).load_best(net)
        assert len(said) == 1
        assert BEST in said[0]
        assert differences(net.tensors, good.tensors) == []


def test_where_both_are_bad_it_says_so_and_touches_nothing(stopped, tmp_path):
    shutil.copytree(stopped, tmp_path / "run")
    for name in (LAST, PREVIOUS):
        flip(tmp_path / "run" / name)
    before = {name: (tmp_path / "run" / name).read_bytes() for name in (LAST, PREVIOUS, BEST)}
    with pytest.raises(CorruptFile, match=LAST):
        train(tmp_path / "run")
    assert {name: (tmp_path / "run" / name).read_bytes() for name in before} == before


def test_the_only_whole_checkpoint_is_never_the_one_that_a_save_drops(stopped, tmp_path):
    """After falling back, a kill between the two renames of the next save must still leave a whole file."""
    shutil.copytree(stopped, tmp_path / "run")
    flip(tmp_path / "run" / LAST)
    events = training(tmp_path / "run", epochs=EPOCHS).run()
    assert isinstance(next(events), Warned)
    events.close()
    checkpoint.read(tmp_path / "run" / LAST)


def test_a_checkpoint_of_another_version_is_not_passed_over(stopped, tmp_path, monkeypatch):
    shutil.copytree(stopped, tmp_path / "run")
    tensors, payload = checkpoint.read(tmp_path / "run" / LAST)
    checkpoint.write(tmp_path / "run" / LAST, tensors, {**payload, "format": checkpoint.FORMAT + 1})
    before = (tmp_path / "run" / LAST).read_bytes()
    with pytest.raises(InputError, match=rf"format {checkpoint.FORMAT + 1}.*Use the version"):
        train(tmp_path / "run")
    assert (tmp_path / "run" / LAST).read_bytes() == before
