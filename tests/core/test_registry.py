"""Names with options: what a user writes is read by the signature, and what does not fit is answered with what would."""

import importlib.util
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.cli.names import KINDS
from chainrule.core import registry
from chainrule.core.errors import InputError
from chainrule.core.registry import Registry, options_of


@dataclass(frozen=True)
class ShapeTraits:
    solid: bool = False


shapes = Registry("shape", "tests_without_such_a_package", ShapeTraits)
shapes._discovered = True


@shapes("box", source="Euclid", solid=True)
def box(inputs, *, sides: tuple[int, ...] = (3, 4), scale: float = 1.0, turned: bool = False, colour: Literal["red", "blue"] = "red",
        label: str | None = None, count: int = 1):
    """A box. More about it."""
    return inputs, sides, scale, turned, colour, label, count


@shapes(source="Archimedes")
def thin_disc(*, radius: float):
    """A disc."""
    return radius


@shapes("ball")
class Ball:
    """A ball."""

    def __init__(self, inputs, *, radius: float = 2.0, hidden: dict | None = None):
        self.inputs, self.radius = inputs, radius


def test_a_name_alone_takes_the_defaults():
    assert shapes.choose("box").make("in") == ("in", (3, 4), 1.0, False, "red", None, 1)
    assert shapes.choose("ball").make("in").radius == 2.0


@pytest.mark.parametrize(("spec", "got"), [
    ("box:sides=5x6x7", ((5, 6, 7), 1.0, False, "red", None, 1)),
    ("box:8", ((8,), 1.0, False, "red", None, 1)),
    ("box:8x9,scale=1e-3,turned=yes", ((8, 9), 1e-3, True, "red", None, 1)),
    ("box:sides=none", ((), 1.0, False, "red", None, 1)),
    ("box:sides=,count=2", ((), 1.0, False, "red", None, 2)),
    (" box : colour = blue , label = big one ", ((3, 4), 1.0, False, "blue", "big one", 1)),
    ("box:label=none,turned=off,count=7", ((3, 4), 1.0, False, "red", None, 7)),
])
def test_options_are_read_by_their_types(spec, got):
    assert shapes.choose(spec).make("in")[1:] == got


@pytest.mark.parametrize(("spec", "message"), [
    ("bxo", "no shape called 'bxo'. Did you mean box?"),
    ("zzz", "no shape called 'zzz'. Known: ball, box, thin-disc."),
    ("box:colur=red", "shape box has no option 'colur'. Did you mean colour?"),
    ("box:scale=big", "box expects scale to be a number; got 'big'. Write box:scale=1.0."),
    ("box:count=1.5", "box expects count to be a whole number; got '1.5'. Write box:count=1."),
    ("box:turned=maybe", "box expects turned to be yes or no; got 'maybe'. Write box:turned=no."),
    ("box:colour=green", "box expects colour to be one of red, blue; got 'green'. Write box:colour=red."),
    ("box:sides=3xa", "box expects sides to be a list of whole numbers joined by x; got '3xa'. Write box:sides=3x4."),
    ("box:scale=1,2", "shape box cannot place '2': write key=value; its options are sides, scale"),
    ("thin-disc", "shape thin-disc needs radius: write thin-disc:radius=0.1."),
    ("ball:hidden=1", "shape ball has no option 'hidden'. Did you mean"),
])
def test_what_does_not_fit_is_answered_with_what_would(spec, message):
    with pytest.raises(InputError) as refused:
        shapes.choose(spec)
    said = str(refused.value)
    assert message.rstrip("?") in said or (message.startswith("shape ball") and "no option 'hidden'" in said)


SPECS = st.fixed_dictionaries({}, optional={
    "sides": st.lists(st.integers(-9, 999), max_size=4).map(tuple), "scale": st.floats(allow_nan=False, allow_infinity=False),
    "turned": st.booleans(), "colour": st.sampled_from(["red", "blue"]), "label": st.none() | st.sampled_from(["a", "b c"]),
    "count": st.integers()})


@settings(max_examples=80, deadline=None)
@given(SPECS)
def test_the_spelling_of_a_choice_reads_back_equal(options):
    chosen = registry.Chosen(shapes.find("box"), options)
    assert shapes.choose(str(chosen)) == chosen


def test_an_entry_knows_its_summary_its_source_and_its_traits():
    entry = shapes.find("box")
    assert (entry.summary, entry.source, entry.traits.solid) == ("A box. More about it.", "Euclid", True)
    assert list(options_of(Ball)) == ["radius"], "what a user cannot write is no option"
    assert shapes.names() == ["ball", "box", "thin-disc"]


def test_a_misspelt_trait_is_an_error_where_it_stands():
    with pytest.raises(TypeError, match="soild"):
        shapes("cube", soild=True)
    for kind in (registry.nets, registry.rules, registry.optimizers, registry.losses, registry.datasets, registry.augments):
        with pytest.raises(TypeError, match="tolerence"):
            kind("anything", tolerence=1.0)


def test_two_places_may_not_claim_one_name():
    def box():
        """Another box."""

    box.__module__ = "elsewhere"
    with pytest.raises(ValueError, match="two shapes are called box"):
        shapes("box")(box)


def test_the_house_has_names_of_every_kind_each_with_a_line_about_it():
    for kind in (registry.nets, registry.rules, registry.optimizers, registry.schedules, registry.inits, registry.losses):
        entries = kind.entries()
        assert len(entries) >= 3
        for entry in entries:
            assert entry.summary.endswith("."), f"{kind.noun} {entry.name} has no sentence about it"
            assert entry.source, f"{kind.noun} {entry.name} has no source"


@pytest.mark.parametrize("kind", [name for name, value in vars(registry).items() if isinstance(value, Registry)])
def test_names_are_sought_in_the_package_that_registers_them(kind):
    """Else a list is empty in a process that happens to have imported nothing of that package."""
    own = getattr(registry, kind)
    assert own.entries()
    places = (own.package + ".", "chainrule.evaluate.") if kind == "measures" else own.package + "."  # tasks register evaluate's functions
    assert {entry.name for entry in own.entries() if not entry.make.__module__.startswith(places)} == set()


@pytest.fixture
def animals(tmp_path, monkeypatch):
    """A registry over a package of three files, one of which must not be imported; its name."""
    package = tmp_path / "animals_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    usual = "from chainrule.core import registry\nanimals = registry.animals_of_a_test\n"
    (package / "felines.py").write_text(usual + '@animals("big-cat", source="")\ndef feline():\n    """A cat."""\n')
    (package / "wolf.py").write_text(usual + '@animals(\n    source="")\ndef grey_wolf():\n    """A wolf, not a \\"big-cat\\"."""\n')
    (package / "birds.py").write_text(usual + 'for name in ("owl", "jay"):\n    animals(name)(lambda: None)\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    own = Registry("animal", package.name, registry.NoTraits)
    monkeypatch.setattr(registry, package.name, own, raising=False)
    yield own
    registry.sources.cache_clear()
    for module in [name for name in sys.modules if name.partition(".")[0] == package.name]:
        del sys.modules[module]


def loaded_of(own):
    return {name.rpartition(".")[2] for name in sys.modules if name.startswith(f"{own.package}.")}


def test_who_asks_for_a_name_imports_the_file_that_registers_it_alone(animals):
    assert animals.find("big-cat").summary == "A cat."
    assert loaded_of(animals) == {"felines"}
    assert animals.find("grey-wolf").name == "grey-wolf"
    assert loaded_of(animals) == {"felines", "wolf"}
    assert "table.csv" not in animals
    assert loaded_of(animals) == {"felines", "wolf"}, "no file can register such a name"


def test_a_name_that_no_text_shows_is_sought_in_every_file(animals):
    assert animals.find("jay").name == "jay"
    assert animals.names() == ["big-cat", "grey-wolf", "jay", "owl"]
    with pytest.raises(InputError, match=r"no animal called 'big-cut'.*big-cat"):
        animals.find("big-cut")


def test_threads_that_ask_at_once_all_see_every_name(animals):
    birds = Path(importlib.util.find_spec(f"{animals.package}.birds").origin)
    birds.write_text("import time\ntime.sleep(0.05)\n" + birds.read_text())
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(lambda _: animals.names(), range(4)))
    assert seen == [["big-cat", "grey-wolf", "jay", "owl"]] * 4


def test_a_name_is_small_letters_digits_and_hyphens():
    with pytest.raises(ValueError, match=r"small letters, digits and hyphens; got 'cube\.3'"):
        shapes("cube.3")(lambda: None)


def test_a_first_step_imports_only_what_it_trains():
    """Of families, rules and optimizers only those asked for: everything else costs time to start."""
    code = "import sys, chainrule; list(chainrule.events('digits', steps=1, plan='eager')); print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert {"chainrule.nets.feedforward", "chainrule.rules.backprop"} <= loaded
    others = {"chainrule.nets.lenet", "chainrule.nets.rbm", "chainrule.rules.adversarial", "chainrule.rules.irls", "chainrule.optim.muon",
              "chainrule.optim.adaptive", "chainrule.optim.solvers.kfac", "scipy"}
    assert not others & loaded


def test_what_can_be_no_name_is_told_the_names_that_there_are():
    """Names of files, say, which nothing is looked up for; in a process that has asked for no net before."""
    program = "from chainrule.core.registry import nets; nets.find('runs/iris-mlp-1')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "There is no net called 'runs/iris-mlp-1'. Known: alexnet, " in done.stderr


def test_summaries_say_what_a_thing_is_and_leave_errors_to_what_follows():
    every = [getattr(registry, kind).entries() for kind in KINDS.values()]
    assert [entry.name for entries in every for entry in entries if "Raises" in entry.summary] == []
