"""The line through five points by every way there is, single steps of the delta rule, and the lowest points of small formulas.

Legendre (1805), Nouvelles méthodes; Widrow & Hoff (1960), https://doi.org/10.21236/AD0241531; Raphson (1690)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.net import Net
from chainrule.core.registry import losses, optimizers, recipes, rules
from chainrule.job.rule_spec import make_rule
from chainrule.optim.solvers.roots import bisection, gradient_descent, newton_raphson
from chainrule.recipes.outcome import Figure, Outcome, Setting
from chainrule.workflows.options import Solving
from chainrule.workflows.solve import number, solve

LECTURE = "lecture"
X, Y = (1.0, 3.0, 2.0, 1.5, 4.0), (1.0, 2.2, 2.0, 1.9, 3.1)
SLOPE, INTERCEPT = 0.584483, 0.695690
WAYS = {  # rule, optimizer, samples a step, steps, how far from the closed form it may end
    "closed form": ("closedform", "sgd", 5, 1, 1e-6),
    "delta rule, all samples a step": ("adaline", "sgd:rate=0.2", 5, 3000, 1e-6),
    "delta rule, one sample a step": ("adaline", "sgd:rate=0.002", 1, 20_000, 5e-3),
    "grid": ("search:way=grid,box=1,points=201,tries=40401", "sgd", 5, 1, 0.02),
    "random search": ("search:way=random,box=1,tries=512", "sgd", 5, 100, 0.05),
}
STEPS = (  # inputs, weights, bias, target, weights after a step at a rate of .01
    ((34.0, 1.0, 4.0), (5.0, 4.0, 8.0), 2.0, 206.0, (4.32, 3.98, 7.92)),
    ((1.0, 5.0, 1.0, 2.0), (2.0, -1.0, 4.0, 8.0), 0.0, 10.0, (1.93, -1.35, 3.93, 7.86)),
)


@recipes("regression-line", source="lecture; Legendre (1805), Nouvelles méthodes pour la détermination des orbites des comètes")
def regression_line(setting: Setting) -> Outcome:
    """Slope and intercept of the line through five points: solved, learned in batches and one by one, and searched for."""
    x, y = torch.tensor(X, dtype=torch.float64)[:, None], torch.tensor(Y, dtype=torch.float64)[:, None]
    rows, figures = [["way", "slope", "intercept"]], list[Figure]()
    for way, (rule, optimizer, batch, steps, within) in WAYS.items():
        slope, intercept = _fitted(x, y, rule, optimizer, batch, steps)
        rows.append([way, f"{slope:.6f}", f"{intercept:.6f}"])
        within = 5e-7 if way == "closed form" else within
        figures += [Figure(f"slope, {way}", slope, published=SLOPE, source=LECTURE if not figures else "", goal="about", within=within),
                    Figure(f"intercept, {way}", intercept, published=INTERCEPT, goal="about", within=2 * within)]
    return Outcome(figures, rows)


def _fitted(x: Tensor, y: Tensor, rule: str, optimizer: str, batch: int, steps: int) -> tuple[float, float]:
    """Slope and intercept after so many steps from zero."""
    torch.manual_seed(0)
    module = nn.Linear(1, 1, dtype=torch.float64)
    nn.init.zeros_(module.weight)
    nn.init.zeros_(module.bias)
    net = Net.of(module)
    learner = make_rule(rules.choose(rule), Supervised(losses.choose("squared").make()), optimizers.choose(optimizer), None)
    state = learner.init(net)
    for step in range(steps):
        at = torch.arange(step * batch, (step + 1) * batch) % len(x)
        net, state, _ = learner.step(net, state, Batch(x[at], y[at]))
    return float(net.params["weight"].detach()), float(net.params["bias"].detach())


@recipes("delta-rule", source="lecture; Widrow & Hoff (1960), https://doi.org/10.21236/AD0241531")
def delta_rule(setting: Setting) -> Outcome:
    """Two worked examples: the residual, and the weights after one step at a rate of .01."""
    rows, figures, worst = [["inputs", "weights", "residual", "after one step"]], [], 0.0
    for inputs, weights, bias, target, published in STEPS:
        module = nn.Linear(len(inputs), 1, dtype=torch.float64)
        with torch.no_grad():
            module.weight.copy_(torch.tensor(weights))
            module.bias.fill_(bias)
        net = Net.of(module)
        batch = Batch(torch.tensor([inputs], dtype=torch.float64), torch.tensor([[target]], dtype=torch.float64))
        residual = float((net(batch.x) - batch.y).detach())
        rule = make_rule(rules.choose("adaline"), None, optimizers.choose("sgd:rate=0.01"), None)
        net, _, _ = rule.step(net, rule.init(net), batch)
        after = net.params["weight"].detach()[0]
        worst = max(worst, float((after - torch.tensor(published, dtype=torch.float64)).abs().max()))
        rows.append([str(inputs), str(weights), f"{residual:g}", ", ".join(f"{w:.6g}" for w in after.tolist())])
        figures.append(Figure(f"residual at {inputs}", residual, published=2 if bias else 7, source=LECTURE, goal="about",
                              within=1e-12))
    return Outcome([Figure("greatest error of a weight after one step", worst, published=0, source=LECTURE, goal="about", within=1e-9),
                    *figures], rows)


@recipes("root-finders", source="lecture; Bolzano (1817); Raphson (1690), Analysis aequationum universalis; Cauchy (1847), "
                                "C. R. Acad. Sci. 25:536")
def root_finders(setting: Setting) -> Outcome:
    """The lowest points of x^2 - 6x + 10 and x^2 + y^2 - 6x + 10 by bisection of the slope, Newton's method and gradient descent."""
    def one(x: Tensor) -> Tensor:
        return x * x - 6 * x + 10

    def two(x: Tensor) -> Tensor:
        return x.square().sum() - 6 * x[0] + 10

    both = torch.tensor([-4.0, 5.0])
    ends = {
        "x^2 - 6x + 10, bisection of the slope": (bisection(torch.func.grad(one), -10.0, 11.0), (3.0,)),
        "x^2 - 6x + 10, Newton-Raphson": (newton_raphson(one, -4.0, minimise=True), (3.0,)),
        "x^2 - 6x + 10, gradient descent": (gradient_descent(one, -4.0), (3.0,)),
        "x^2 + y^2 - 6x + 10, Newton-Raphson": (newton_raphson(two, both, minimise=True), (3.0, 0.0)),
        "x^2 + y^2 - 6x + 10, gradient descent": (gradient_descent(two, both), (3.0, 0.0)),
    }
    rows, worst = [["problem", "ends at", "steps"]], 0.0
    for name, (solution, lowest) in ends.items():
        worst = max(worst, float((solution.x.reshape(-1) - torch.tensor(lowest, dtype=torch.float64)).abs().max()))
        rows.append([name, ", ".join(f"{v:.8f}" for v in solution.x.reshape(-1).tolist()), str(solution.steps)])
    return Outcome([Figure("greatest distance from the lowest point", worst, published=1e-6, goal="at most",
                           source="lecture: the slopes vanish at x = 3, y = 0")], rows)


@recipes("formula-command", source="lecture; Raphson (1690), Analysis aequationum universalis; Cauchy (1847), C. R. Acad. Sci. 25:536")
def formula_command(setting: Setting) -> Outcome:
    """Formulas as they are typed: the lowest point of two, the highest of one turned over, and a root."""
    problems = {
        ("x^2 - 6x + 10", "minimum", "newton"): (3.0,), ("x^2 - 6x + 10", "minimum", "gradient"): (3.0,),
        ("x^2 - 6x + 10", "minimum", "bisection"): (3.0,), ("x^2 + y^2 - 6x + 10", "minimum", "newton"): (3.0, 0.0),
        ("x^2 + y^2 - 6x + 10", "minimum", "gradient"): (3.0, 0.0), ("6x - x^2 - 10", "maximum", "newton"): (3.0,),
        ("6x - x^2 - y^2 - 10", "maximum", "gradient"): (3.0, 0.0), ("x^2 - 2", "root", "bisection"): (2**0.5,),
    }
    rows, worst = [["formula", "find", "by", "ends at", "steps"]], 0.0
    for (formula, find, by), expected in problems.items():
        solution = solve(formula, Solving(find=find, by=by, low=0.0, high=10.0))
        worst = max(worst, *(abs(ours - theirs) for ours, theirs in zip(solution.point.values(), expected, strict=True)))
        rows.append([formula, find, by, ", ".join(map(number, solution.point.values())), str(solution.steps)])
    return Outcome([Figure("greatest distance from the worked points", worst, published=1e-6, goal="at most",
                           source="lecture: the slopes vanish at x = 3, y = 0")], rows)
