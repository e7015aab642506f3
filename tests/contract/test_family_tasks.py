"""Every registered family with every task that it serves: built from data, trained two steps, asked, measured, written and opened again."""

import math

import pytest
import torch
from small_families import small_spec
from task_data import small

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.core.registry import nets, rules, tasks
from chainrule.core.rule import Learner
from chainrule.job.build import build
from chainrule.job.job import Job
from chainrule.job.options import Options
from chainrule.tasks.task import Task

FAMILIES = {entry.name: entry.traits for entry in nets.entries() if entry.traits.kind != "fixed"}   # the others have nothing to train
MADE_FOR = [(name, task) for name, traits in FAMILIES.items() for task in traits.tasks]
PLAIN = [name for name, traits in FAMILIES.items() if not traits.tasks]
UNTARGETED = [name for name, traits in FAMILIES.items() if traits.rule and rules.choose(traits.rule).entry.traits.target == "none"]
REFUSED = [(family, task) for family in UNTARGETED for task in tasks.names()
           if tasks.find(task).traits.targetless and task not in FAMILIES[family].tasks]
# they read sequences, and no pictures
SERIAL = [name for name, task in MADE_FOR if task == "tagging" or FAMILIES[name].sequences or name.startswith("sequence-")]
SERVED = [*MADE_FOR, *((name, task) for name in PLAIN for task in ("classification", "regression"))]


def asked(family: str, task: str, folder) -> Job:
    """The job of a family for a task. A family that parts two classes alone is given two; what refuses a task says so in a sentence."""
    small_rule = {"rule": "bptt:window=16"} if task == "language" else {}
    refusal = None
    for classes in (3, 2) if task == "classification" else (3,):
        try:
            return build(small(task, folder, classes=classes, series=family in SERIAL),
                         Options(net=small_spec(family, task), task=task, steps=2, batch=8, plan="eager", threads=1, **small_rule))
        except InputError as error:
            refusal = error
    assert str(refusal).endswith(".")
    assert (family, task) not in MADE_FOR, refusal
    pytest.skip(str(refusal))


@pytest.mark.parametrize(("family", "task"), SERVED, ids=lambda word: word)
def test_a_family_serves_its_task_from_data_to_answer(family, task, tmp_path):
    job = asked(family, task, tmp_path)
    assert job.task.name == task
    before = {name: p.detach().clone() for name, p in job.net.params.items()}
    *_, end = job.events()
    assert sum(end.stage_steps) <= 2
    assert any(not torch.equal(before[name], p) for name, p in job.net.params.items()) or job.rule.reads == "everything"
    part = job.data.valid
    costs = job.validate(learner_of(job))
    assert all(math.isfinite(value) for value in costs.values())
    answer = job.trained.predictions(part)
    assert len(answer) == len(part)
    assert bool(answer.isfinite().all())
    if job.task.classes:
        torch.testing.assert_close(answer.sum(-1), torch.ones(len(part)).to(answer), atol=1e-4, rtol=0)
    columns = job.task.columns(answer)
    assert len({len(column) for column in columns.values()}) == 1


def learner_of(job: Job) -> Learner:
    """The net as it is now, with a state of its rule."""
    return Learner(job.net, job.rule.init(job.net))


def test_every_family_serves_some_task():
    """What a family is made for exists, and no family is left out of the table above."""
    assert {task for _, task in SERVED} <= set(tasks.names())
    assert {name for name, _ in SERVED} == set(FAMILIES)


@pytest.mark.parametrize(("family", "task"), REFUSED, ids=lambda word: word)
def test_a_family_that_reads_no_targets_refuses_what_it_cannot_answer(family, task, tmp_path):
    """Before it has been trained: what it gives of a row need not be a row."""
    with pytest.raises(InputError, match=f"The net {family} is made for .* Use --task "):
        build(small(task, tmp_path), Options(net=small_spec(family, task), task=task, steps=2))


@pytest.mark.parametrize("name", tasks.names())
def test_a_task_is_asked_answered_measured_stored_and_opened(name, tmp_path):
    """A whole run: baseline, outcomes for paired tests, columns, and the same answers from the folder alone."""
    families = [family for family, task in SERVED if task == name]
    family = next(f for f in families if FAMILIES[f].tasks or name in ("classification", "regression", "density"))
    rule = {"rule": "bptt:window=16"} if name == "language" else {}
    source = small(name, tmp_path, series=family in SERIAL)
    net = "mlp:hidden=4" if name in ("classification", "regression") else small_spec(family, name)
    run = cr.train(source, net=net, task=name, steps=2, batch=8, plan="eager", threads=1, progress=False, out=tmp_path / "run", **rule)
    task: Task = run.job.task
    part = run.job.data.valid
    answer = run.job.trained.predictions(part)
    again = cr.Run(tmp_path / "run", data=source)
    torch.testing.assert_close(again.job.trained.predictions(part), answer)
    result = run.job.trained.measure(part)
    assert result.n == len(part)
    assert set(task.watch) & {*result.measures, *run.job.validate(learner_of(run.job))}
    if run.job.trained.constant is not None:                                 # an energy has no constant answer
        assert result.baseline is not None
        assert result.baseline.name
        assert set(result.baseline.measures) <= set(result.measures)
    cases = run.job.trained.outcomes(part, "these rows")
    assert cases is None or len(cases.rows) == len(part)
    assert len(task.names(answer.shape[-1])) == answer.shape[-1]
