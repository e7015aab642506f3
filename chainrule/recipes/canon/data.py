"""A: data and honest evaluation."""

from chainrule.workflows.canon import Check, Row

MCNEMAR = "McNemar (1947), https://doi.org/10.1007/BF02295996"

ROWS = (
    Row("A1", "Tables", (
        Check("encoder-leak", "tensors of the fitted encoder that change when test rows do", 0, "Kaufman et al. (2012), "
              "https://doi.org/10.1145/2382577.2382579"),
    )),
    Row("A2", "Image sets", (
        Check("image-sets", "classes whose count is not the published one", 0,
              "LeCun et al. (1998), https://doi.org/10.1109/5.726791; Alpaydin & Kaynak (1998), https://doi.org/10.24432/C50P49"),
    )),
    Row("A3", "Text and sequences", (
        Check("text-round-trip", "symbols that encoding and decoding do not give back", 0, "exact by definition"),
        Check("text-column", "points of test accuracy below TF-IDF and a logistic regression", 2,
              "Salton & Buckley (1988), https://doi.org/10.1016/0306-4573(88)90021-0; the reference is scikit-learn's"),
        Check("masked-sequences", "rows of unequal length from the command line, masked mean against the mean by hand", 0,
              "exact by definition"),
    )),
    Row("A4", "Splits", (
        Check("splits", "rows in two parts, and groups on both sides", 0, "Kohavi (1995), IJCAI 14:1137"),
    )),
    Row("A5", "Measures", (
        Check("three-class-matrix", "right answers of 27 in the matrix 5 3 0 / 2 3 1 / 0 2 11", 19, "lecture"),
        Check("interval-coverage", "coverage of 95 % intervals in simulation, per cent", 95,
              "Wilson (1927), https://doi.org/10.1080/01621459.1927.10502953"),
        Check("operating-point", "by how much `threshold` falls short of the recall asked of it", 0, "Fawcett (2006), "
              "https://doi.org/10.1016/j.patrec.2005.10.010"),
    )),
    Row("A6", "Is B really better than A?", (Check("mcnemar", "exact p of the table (29, 1; 11, 9959)", 0.0063, MCNEMAR),)),
    Row("A7", "Bad data", (
        Check("planted-labels", "share of the flagged labels that were planted", 0.8,
              "Northcutt, Jiang & Chuang (2021), https://doi.org/10.1613/jair.1.12125"),
    )),
)
