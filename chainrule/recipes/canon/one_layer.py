"""B: one layer."""

from chainrule.workflows.canon import Check, Row

WIDROW = "Widrow & Hoff (1960), https://doi.org/10.21236/AD0241531"

ROWS = (
    Row("B1", "Linear regression", (
        Check("regression-line", "slope of the line through five points", 0.584483, "lecture; Legendre (1805)"),
        Check("delta-rule", "greatest error of a weight after one step of the delta rule", 0, "lecture; " + WIDROW),
        Check("error-surface", "the fitted line beside the contour, step by step", None, "lecture"),
    )),
    Row("B2", "tanh output unit", (
        Check("tanh-unit-slope", "greatest relative error of its gradient against (y - t)(1 - y^2) x", 0,
              "Rumelhart, Hinton & Williams (1986), https://doi.org/10.1038/323533a0"),
    )),
    Row("B3", "McCulloch-Pitts unit, perceptron, Mark I", (
        Check("logic-units", "wrong answers of AND, OR and NOT by threshold units and perceptrons", 0,
              "McCulloch & Pitts (1943), https://doi.org/10.1007/BF02478259; Rosenblatt (1958), https://doi.org/10.1037/h0042519"),
        Check("xor", "share of seeds from which a perceptron learns exclusive or", 0, "Minsky & Papert (1969), Perceptrons"),
        Check("mark-i", "test accuracy % on MNIST", 85, "Rosenblatt (1958), https://doi.org/10.1037/h0042519"),
    )),
    Row("B4", "ADALINE; MADALINE", (
        Check("madaline-three", "greatest relative difference between Rule III and the gradient", 1e-3,
              "Widrow & Lehr (1990), https://doi.org/10.1109/5.58323"),
        Check("madaline-xor", "share of seeds from which MADALINE II learns exclusive or", 1,
              "Winter & Widrow (1988), https://doi.org/10.1109/ICNN.1988.23872"),
    )),
    Row("B5", "Logistic and softmax regression", (
        Check("softmax", "test accuracy % on MNIST", 92, "LeCun et al. (1998), https://doi.org/10.1109/5.726791"),
        Check("dose-response", "slope of the log-odds of death", 34.27,
              "Dobson (2002), table 7.2, on Bliss (1935), https://doi.org/10.1111/j.1744-7348.1935.tb07713.x"),
    )),
    Row("B6", "Comparators", (
        Check("comparators", "models of scikit-learn answering the same test cases as our net", 6,
              "Pedregosa et al. (2011), https://jmlr.org/papers/v12/pedregosa11a.html"),
    )),
    Row("B7", "Root finders", (
        Check("root-finders", "greatest distance from the minimum of two paraboloids", 1e-6, "lecture; Raphson (1690)"),
        Check("formula-command", "greatest distance from the minimum and the maximum of formulas as they are typed", 1e-6,
              "lecture; Raphson (1690)"),
    )),
)
