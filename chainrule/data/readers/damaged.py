"""Pictures that cannot be decoded, sought by decoding all of them: named, counted, and left out where they are few."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.data.readers import images
from chainrule.data.reading import MOST_BAD

SHOWN = 5


def sound(paths: Sequence[Path], where: Path) -> tuple[Tensor, tuple[str, ...]]:
    """The places (n,) of the pictures that can be decoded, and a sentence that counts and names the others where there are any.

    Raises InputError where they are more than the share that may be left out, one picture being always allowed.
    """
    with ThreadPoolExecutor() as pool:
        faults = list(pool.map(images.fault, paths))
    bad = [(path, fault) for path, fault in zip(paths, faults, strict=True) if fault]
    if not bad:
        return torch.arange(len(paths)), ()
    named = ", ".join(str(path.relative_to(where) if path.is_relative_to(where) else path) for path, _ in bad[:SHOWN])
    more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    counted = f"{len(bad):,} of {len(paths):,} pictures of {where} cannot be decoded"
    if len(bad) == len(paths) or len(bad) > max(1, MOST_BAD * len(paths)):
        raise InputError(f"{counted}, more than the {MOST_BAD:.0%} that --skip-bad leaves out: {named}{more}. The first: {bad[0][1]}")
    good = torch.tensor([place for place, fault in enumerate(faults) if not fault])
    return good, (f"{counted} and {'was' if len(bad) == 1 else 'were'} left out: {named}{more}.",)
