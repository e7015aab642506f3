"""Every registered task keeps the contract: data to criterion to answer, measures, outcomes and columns, each on data it is asked of."""

import math

import pytest
from task_data import TEXT, tags, waves

import chainrule as cr
from chainrule.core.registry import tasks
from chainrule.data.readers.text import source as text_source
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.workflows.find_rate import range_test


def data_for(name, tmp_path):
    """Data that such a task is asked of, and the options that ask for it."""
    if name == "language":
        return text_source(TEXT, "a text"), {"rule": "bptt:window=16", "batch": 4}
    if name == "tagging":
        return cr.load(tags(tmp_path)), {"net": "rnn:hidden=16"}
    if name == "forecast":
        return waves(), {"net": "tdnn"}
    return {
        "classification": ("iris", {}), "regression": ("diabetes", {}), "density": ("iris", {"rule": "expectation"}),
        "reconstruction": ("digits", {"net": "autoencoder:code=4"}), "generation": ("digits", {"net": "gan:hidden=8"}),
        "detection": ("scenes:count=40,side=32", {"net": "detector:filters=4x8"}),
        "transcription": ("strips:count=60,fewest=1,digits=3,source=digits", {"net": "rnn:hidden=8"}),
        "translation": ("reversal:length=4,fewest=2,letters=4,count=60", {"net": "seq2seq:hidden=8"}),
        "contacts": ("chains:count=30", {"net": "contactnet:hidden=8,depth=2,pairs=4,pair_depth=2"}),
        "segmentation": ("roads:count=24,side=16", {"net": "unet:width=4,depth=2"}),
    }[name]


@pytest.fixture(params=tasks.names())
def job(request, tmp_path):
    data, options = data_for(request.param, tmp_path)
    source = cr.load(data) if isinstance(data, str) else data
    made = build(source, Options(**{"epochs": 1, "plan": "eager", "threads": 1, **options}))
    assert made.task.name == request.param
    return made


def test_it_trains_validates_and_is_best_by_what_it_watches(job):
    last = list(job.events())[-1]
    assert set(last.best) & set(job.task.watch)
    assert all(math.isfinite(value) for value in last.best.values())


def test_answers_measures_and_columns_belong_together(job):
    part = job.data.valid
    result = job.trained.measure(part)
    assert result.n == len(part)
    assert all(math.isfinite(m.value) for m in result.measures.values())
    answer = job.trained.predictions(part)
    assert len(answer) == len(part)
    columns = job.task.columns(answer)
    assert len({len(column) for column in columns.values()}) == 1


def test_a_rule_that_follows_a_rate_is_given_one(job):
    if job.criterion is None:
        pytest.skip("this rule brings its own costs and follows no rate")
    assert range_test(job, steps=20, lowest=1e-5, highest=1e-2).suggested > 0


def test_no_file_outside_tasks_compares_a_task_with_a_string():
    import ast

    from structure import ROOT, files

    names = set(tasks.names())
    for path in files():
        if path.relative_to(ROOT).parts[0] == "tasks":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                words = [c.value for c in [node.left, *node.comparators] if isinstance(c, ast.Constant)]
                assert not (names & {w for w in words if isinstance(w, str)}), f"{path}, line {node.lineno}"
