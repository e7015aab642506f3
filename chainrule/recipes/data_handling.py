"""What must hold of data before any net sees it: nothing leaks, nothing is lost, nothing stands in two parts, wrong labels are found."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import chainrule
from chainrule.core.errors import InputError
from chainrule.core.registry import recipes
from chainrule.data.encode.vocabulary import Vocabulary
from chainrule.data.load import load
from chainrule.data.prepare import prepare
from chainrule.data.source import Source
from chainrule.data.splits import Splits, split
from chainrule.recipes.outcome import Figure, Outcome, Setting

# rows of each class, as their makers count them
MNIST = (6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958)
DIGITS = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
TEXT = "It was the best of times,\nit was the worst of times; it was the age of wisdom.\t(1859) – naïve?"


@recipes("encoder-leak", source="Kaufman, Rosset, Perlich & Stitelman (2012), https://doi.org/10.1145/2382577.2382579")
def encoder_leak(setting: Setting) -> Outcome:
    """A table with numbers, words and gaps, whose test rows are then changed beyond recognition: the fitted encoder stays as it was."""
    parts = Splits(torch.arange(60), torch.arange(60, 80), torch.arange(80, 100))
    as_it_was = _encoder(_table(()), parts)
    in_test, in_train = (_differences(as_it_was, _encoder(_table(rows), parts)) for rows in (range(80, 100), range(20)))
    return Outcome([Figure("tensors and settings of the encoder that change with the test rows", in_test, published=0, goal="at most",
                           source="by definition: statistics are of the training part"),
                    Figure("those that change with training rows, to see that the comparison can tell", in_train, published=1,
                           goal="at least")])


def _table(changed: Any) -> Source:
    """A hundred rows of four columns; those `changed` have other magnitudes, gaps and an unheard-of town."""
    import polars

    spoilt = set(changed)
    towns = ("Ulm", "Bath", "Brno")
    columns = {"age": [1e6 if i in spoilt else 20 + i * 7 % 50 for i in range(100)],
               "income": [None if i % 9 == 0 or i in spoilt else 100.0 + i * 13 % 37 for i in range(100)],
               "town": ["Nowhere" if i in spoilt else towns[i % 3] for i in range(100)],
               "kind": ["ab"[i % 2] for i in range(100)]}
    return load(polars.DataFrame(columns, strict=False), target="kind")


def _encoder(source: Source, parts: Splits) -> tuple[dict[str, Tensor], dict[str, Any]]:
    state: tuple[dict[str, Tensor], dict[str, Any]] = prepare(source, split=parts).encoder.to_state()
    return state


def _differences(a: tuple[dict[str, Tensor], dict[str, Any]], b: tuple[dict[str, Tensor], dict[str, Any]]) -> int:
    """How many tensors and settings of two encoders differ."""
    tensors = sum(name not in b[0] or not torch.equal(tensor.nan_to_num(), b[0][name].nan_to_num()) for name, tensor in a[0].items())
    settings = sum(b[1][part].get(name) != value for part in ("inputs", "target") for name, value in a[1][part].items())
    count: int = tensors + settings
    return count


@recipes("image-sets", source="LeCun et al. (1998), https://doi.org/10.1109/5.726791; Alpaydin & Kaynak (1998), https://doi.org/10.24432/C50P49")
def image_sets(setting: Setting) -> Outcome:
    """Rows of each class of the embedded digits, and in the full form of MNIST; and files cut short, which must be named."""
    rows, wrong = [["set", "class", "rows", "published"]], 0
    for name, published in {"digits": DIGITS, **({} if setting.short else {"mnist": MNIST})}.items():
        counts = torch.bincount(load(name, data_dir=setting.data_dir).targets, minlength=10).tolist()
        wrong += sum(ours != theirs for ours, theirs in zip(counts, published, strict=True))
        rows += [[name, str(i), str(ours), str(theirs)] for i, (ours, theirs) in enumerate(zip(counts, published, strict=True))]
    path = setting.out / "cut-images-idx3-ubyte"
    silent = 0
    whole = struct.pack(">4i", 2051, 10, 4, 4) + bytes(160)
    for length in (3, 15, 16, 100, 175):
        path.write_bytes(whole[:length])
        silent += not _named(path)
    return Outcome([Figure("classes whose count is not the published one", wrong, published=0, goal="at most",
                           source="the sets' own descriptions"),
                    Figure("files cut short that are not named", silent, published=0, goal="at most")], rows)


def _named(path: Any) -> bool:
    """Whether reading the file is refused in a sentence that names it."""
    try:
        load(path)
    except InputError as error:
        return str(path) in str(error)
    return False


@recipes("text-round-trip", source="exact by definition")
def text_round_trip(setting: Setting) -> Outcome:
    """A text as codes of characters and of words, and back; what the vocabulary does not know becomes the unknown symbol."""
    wrong = 0
    for unit in ("characters", "words"):
        vocabulary = Vocabulary.fit(TEXT, unit)
        back = vocabulary.decode(vocabulary.encode(TEXT))
        wrong += sum(a != b for a, b in zip(back, TEXT, strict=False)) + abs(len(back) - len(TEXT))
    codes = Vocabulary.fit("abc").encode("abxc")
    return Outcome([Figure("symbols that do not come back", wrong, published=0, goal="at most", source="exact by definition"),
                    Figure("unknown symbols in abxc by the alphabet of abc", int((codes == 3).sum()), published=1, goal="about")])


@recipes("splits", source="Kohavi (1995), A study of cross-validation and bootstrap, IJCAI 14:1137")
def splits(setting: Setting) -> Outcome:
    """Many divisions, by class, by group and by time: rows in two parts, rows in none, groups on both sides, tests before training."""
    twice = lost = straddling = early = 0
    random = torch.Generator().manual_seed(0)
    for seed in range(30 if setting.short else 300):
        n = int(torch.randint(60, 200, (), generator=random))
        source = Source("made", torch.randn(n, 2, generator=random), torch.arange(n) % 3, "class", {}, "made", ("a", "b", "c"))
        groups = torch.randint(0, n // 4, (n,), generator=random)
        times = torch.rand(n, generator=random, dtype=torch.float64)
        for divided in (source, replace(source, groups=groups), replace(source, times=times)):
            divided_rows = split(divided, seed=seed)
            parts = (divided_rows.train, divided_rows.valid, divided_rows.test)
            counts = torch.bincount(torch.cat(parts), minlength=n)
            twice, lost = twice + int((counts > 1).sum()), lost + int((counts == 0).sum())
            if divided.groups is not None:
                straddling += sum(map(len, parts)) and len(torch.cat([groups[p].unique() for p in parts])) - len(groups.unique())
            if divided.times is not None:
                early += int((times[divided_rows.test] < times[divided_rows.train].max()).sum())
    source_ = "Kohavi (1995), by definition"
    return Outcome([Figure("rows in two parts", twice, published=0, goal="at most", source=source_),
                    Figure("rows in no part", lost, published=0, goal="at most"),
                    Figure("groups in two parts", straddling, published=0, goal="at most"),
                    Figure("test rows of a time before the last of training", early, published=0, goal="at most")])


@recipes("planted-labels", source="Northcutt, Jiang & Chuang (2021), https://doi.org/10.1613/jair.1.12125")
def planted_labels(setting: Setting) -> Outcome:
    """Five of a hundred labels of the digits are moved to another class: how many of those that the check flags were."""
    source = load("digits")
    random = torch.Generator().manual_seed(0)
    moved = torch.randperm(len(source), generator=random)[: round(0.05 * len(source))]
    targets = source.targets.clone()
    targets[moved] = (targets[moved] + torch.randint(1, 10, (len(moved),), generator=random)) % 10
    planted = torch.zeros(len(source), dtype=torch.bool)
    planted[moved] = True
    spoilt = replace(source, targets=targets, fingerprint="digits with labels moved under seed 0")
    findings = chainrule.check(spoilt, plan="eager", epochs=15, out=setting.out / "check").of("label")
    flagged = torch.tensor([row for finding in findings for row in finding.rows][: len(moved)], dtype=torch.int64)
    share = float(planted[flagged].double().mean()) if len(flagged) else 0.0
    return Outcome([Figure("share of the flagged labels that were planted", share, published=0.8, goal="at least",
                           source="Northcutt, Jiang & Chuang (2021), https://doi.org/10.1613/jair.1.12125")],
                   notes=[f"{len(moved)} planted, {len(flagged)} flagged outside the test part"])
