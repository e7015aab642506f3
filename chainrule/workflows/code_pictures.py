"""What a net's codes look like: where rows lie, which are alike, what lies between two, and what each place of a plane decodes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from chainrule.core.abilities.nets import Decodes, HasCodes, Variational
from chainrule.core.errors import InputError
from chainrule.job.trained import Trained
from chainrule.observe.neighbours import near, two_components
from chainrule.plots.codes import scatter, sheet
from chainrule.plots.figure import to_file
from chainrule.report.facts import Picture
from chainrule.runs.validation import Validation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST = 3          # rows that can be seen to lie somewhere
ASKED, ALIKE = 6, 8
PAIRS, STEPS = 5, 10
SIDE = 15           # of the plane of codes that is decoded
ENDS = 0.02         # of the prior's share beyond that plane, on each side


def codes(trained: Trained, validation: Validation) -> Figure:
    """The validation rows that the run keeps where their codes lie, coloured by class; codes of more numbers along two main components."""
    _makes_codes(trained)
    if len(validation.inputs) < FEWEST:
        raise InputError(f"Codes are drawn of at least {FEWEST} rows; this run keeps {len(validation.inputs)}. Train with more rows.")
    codes = trained.codes(validation.inputs)
    places, share = two_components(codes)
    width = codes.shape[1]
    names = ("first number of the code", "second") if width <= 2 else ("first main component of the codes", "second")
    of = "" if width <= 2 else f", {share:.0%} of the variance of {width} numbers"
    classes = trained.encoder.target.classes or tuple(map(str, range(_classes(validation.labels))))
    return scatter(places, validation.labels, classes, names, f"{len(codes)} rows where their codes lie{of}")


def neighbours(trained: Trained, validation: Validation) -> Figure:
    """Some pictures, and beside each those of the rows that the run keeps whose codes are nearest to its own."""
    _makes_codes(trained)
    rows = _pictures(trained, validation)
    nearest = near(trained.codes(validation.inputs), ALIKE)
    asked = torch.linspace(0, len(rows) - 1, min(ASKED, len(rows))).long()
    several = torch.cat([rows[asked][:, None], rows[nearest[asked]]], 1)
    return sheet(several, ["asked for"] + [""] * (len(asked) - 1), f"Pictures, and those of {len(rows)} whose codes are nearest")


@torch.no_grad()
def interpolation(trained: Trained, validation: Validation) -> Figure:
    """What lies between the codes of two pictures, in equal steps: the ends are what is given back of the two."""
    module = _decodes(trained)
    x = _ready(trained, validation)
    ends = module.encode(x[torch.linspace(0, len(x) - 1, 2 * min(PAIRS, len(x) // 2)).long()])            # (2 p, code)
    begin, end = ends[: len(ends) // 2, None], ends[len(ends) // 2 :, None]
    path = begin + (end - begin) * torch.linspace(0, 1, STEPS).to(ends)[None, :, None]                  # (p, steps, code)
    return sheet(_decoded(trained, module, path), (), "Between the codes of two pictures, in equal steps")


@torch.no_grad()
def manifold(trained: Trained, validation: Validation) -> Figure:
    """What a plane of codes decodes to: places at equal shares of the prior, of a variational net whose code has two numbers."""
    module = trained.net.module.eval()
    if not isinstance(module, Variational) or not isinstance(module, Decodes) or trained.codes(validation.inputs[:1]).shape[1] != 2:
        raise InputError(f"A plane of codes is decoded by a variational net with two of them; {trained.net_name} is none. Train "
                         "--net vae:code=2.")
    _shape(trained)
    at = torch.distributions.Normal(0.0, 1.0).icdf(torch.linspace(ENDS, 1 - ENDS, SIDE))
    plane = torch.stack(torch.meshgrid(-at, at, indexing="ij"), -1).flip(-1)                            # (side, side, 2)
    return sheet(_decoded(trained, module, plane.to(trained.device)), (), "What codes of two numbers decode to, in equal shares")


KINDS: dict[str, Callable[[Trained, Validation], Figure]] = {"codes": codes, "neighbours": neighbours, "interpolation": interpolation,
                                                             "manifold": manifold}
CAPTIONS = {"codes": "Where the codes of validation rows lie", "neighbours": "Which validation rows are alike by their codes",
            "interpolation": "Between the codes of two validation rows", "manifold": "What a plane of codes decodes to"}


def pictures_of(trained: Trained, validation: Validation) -> list[Picture]:
    """Those of the pictures of a net's codes that it has, for a report."""
    if not isinstance(trained.net.module, HasCodes):
        return []
    several = []
    for kind, draw in KINDS.items():
        try:
            several.append((CAPTIONS[kind], to_file(draw(trained, validation))))
        except InputError:   # it has none of this kind
            continue
    return several


def _makes_codes(trained: Trained) -> None:
    if not isinstance(trained.net.module, HasCodes):
        raise InputError(f"{trained.net_name} makes no codes of rows. Train --net autoencoder, vae, rbm or mixture.")


def _decodes(trained: Trained) -> Decodes:
    module = trained.net.module.eval()
    if not isinstance(module, Decodes):
        raise InputError(f"{trained.net_name} decodes no codes. Train --net autoencoder or vae.")
    return module


def _shape(trained: Trained) -> tuple[int, int, int]:
    shape = trained.encoder.inputs.picture_shape
    if shape is None:
        raise InputError(f"This picture is made of pictures, and {trained.net_name} reads none here. Use the kind codes.")
    return shape


def _ready(trained: Trained, validation: Validation) -> Tensor:
    _shape(trained)
    if len(validation.inputs) < FEWEST:
        raise InputError(f"At least {FEWEST} rows are needed for this picture; the run keeps {len(validation.inputs)}. Train with more.")
    return trained.ready(validation.inputs.to(trained.device))


def _pictures(trained: Trained, validation: Validation) -> Tensor:
    """The rows that the run keeps as pictures (n, channels, height, width), as the net reads them."""
    return _ready(trained, validation).reshape(-1, *_shape(trained))


def _decoded(trained: Trained, module: Decodes, at: Tensor) -> Tensor:
    """Pictures (rows, columns, channels, height, width) of codes (rows, columns, code)."""
    rows = trained.answer(module.decode(at.flatten(0, 1)))
    return rows.reshape(*at.shape[:2], *_shape(trained))


def _classes(labels: Tensor | None) -> int:
    return 0 if labels is None else int(labels.max()) + 1
