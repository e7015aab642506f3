"""G: the system around the nets."""

from chainrule.workflows.canon import Check, Row

ROWS = (
    Row("G1", "Any module and any loss", (
        Check("own-module", "test accuracy % of a module and a loss of ten lines on digits", 90, "asked of the library"),
    )),
    Row("G2", "Fastest plan by measurement", (
        Check("plan-agreement", "greatest relative difference of the weights by a native program from eager ones", 1e-3,
              "asked of the library"),
    )),
    Row("G3", "Several processes and machines", (
        Check("two-processes", "greatest difference of two processes from one", 1e-5, "Li et al. (2020), https://arxiv.org/abs/2006.15704"),
    )),
    Row("G4", "What the network looks like", (
        Check("network-graph", "forward values and derivatives of the computational graph against autograd", 1e-6,
              "asked of the library"),
    )),
    Row("G5", "What the gradient does", (
        Check("faulty-programs", "share of planted faults that the doctor names", 0.9, "asked of the library"),
        Check("first-cause", "% of nine faults planted in nets of digits that are named as first cause", 90, "asked of the library"),
    )),
    Row("G6", "A run is a folder", (
        Check("resume-exact", "weights that differ after an interruption, of all", 0, "asked of the library"),
    )),
    Row("G7", "scikit-learn estimators", (
        Check("estimator-contract", "checks of scikit-learn that fail", 0, "Buitinck et al. (2013), https://arxiv.org/abs/1309.0238"),
    )),
    Row("G8", "Export", (
        Check("export-agreement", "greatest difference of an exported net's answers", 1e-5, "asked of the library"),
        Check("export-c", "greatest difference of the answers of a C99 file", 1e-5, "asked of the library"),
    )),
)
