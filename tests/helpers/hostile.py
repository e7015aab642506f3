"""Values of JSON with one place changed into what does not belong there."""

import copy
import json
from pathlib import Path

from chainrule.engine import checkpoint
from chainrule.job.record import RECORD, sealed

ABSENT = object()
STRANGE = (None, "x", "", -1, 2.5, float("nan"), 10**30, True, [], {}, [[]], {"a": []}, ["x"], "../../x", "\x1b[31m\0", ABSENT)


def places(value, path=()):
    """Every place in nested lists and objects, the whole last."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))
    if path:
        yield path


def changed(value, path, by):
    """A copy with what is at a place changed into `by`, or taken out."""
    whole = copy.deepcopy(value)
    inner = whole
    for key in path[:-1]:
        inner = inner[key]
    if by is ABSENT:
        del inner[path[-1]]
    else:
        inner[path[-1]] = by
    return whole


def mutants(value):
    """(place, what is there, the changed value), for all places and strange values."""
    for path in places(value):
        for by in STRANGE:
            yield path, by, changed(value, path, by)


def read_json(path: Path):
    """What a file of a run says: a record without its seal, or the payload of a checkpoint."""
    if path.suffix == ".safetensors":
        return checkpoint.read(path)[1]
    record = json.loads(path.read_text())
    if path.name == RECORD:
        del record["sha256"]
    return record


def write_json(path: Path, value) -> None:
    """Write it as it was, with a seal that is right."""
    if path.suffix == ".safetensors":
        checkpoint.write(path, checkpoint.read(path)[0], value)
    elif path.name == RECORD:
        path.write_text(sealed(value))
    else:
        path.write_text(json.dumps(value))
