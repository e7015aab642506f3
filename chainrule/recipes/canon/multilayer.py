"""C: multi-layer networks and how they learn."""

from chainrule.workflows.canon import Check, Row

NIELSEN = "Nielsen (2015), http://neuralnetworksanddeeplearning.com/chap1.html"
BACKPROP = "Rumelhart, Hinton & Williams (1986), https://doi.org/10.1038/323533a0"

ROWS = (
    Row("C1", "Multi-layer perceptron", (
        Check("784-30-10", "test accuracy % on MNIST, 30 hidden units", 95.0, NIELSEN),
        Check("784-100-10", "test accuracy % on MNIST, 100 hidden units", 96.5, NIELSEN),
        Check("784-100-10-relu", "test accuracy % on MNIST, 100 rectified units", 97.5,
              "Simard, Steinkraus & Platt (2003), https://doi.org/10.1109/ICDAR.2003.1227801"),
        Check("parameter-counts", "parameters of 784-30-10", 23_860, NIELSEN),
        Check("direct-connections", "wrong answers of exclusive or by one hidden unit with connections from input to output", 0,
              "Rumelhart, Hinton & Williams (1986), in Parallel Distributed Processing 1, chapter 8, figure 2"),
        Check("settings-grid", "validation accuracy % of the best of 81 settings", None, "lecture; Nielsen (2015), "
              "http://neuralnetworksanddeeplearning.com/chap3.html"),
    )),
    Row("C2", "Activations", (
        Check("activation-slopes", "greatest relative error of a slope against differences", 1e-6, BACKPROP),
    )),
    Row("C3", "Losses", (
        Check("loss-slopes", "greatest relative error of a slope against differences", 1e-6, BACKPROP),
    )),
    Row("C4", "Initial weights", (
        Check("initialisation", "standard deviation of the first of ten tanh layers under N(0, .01^2)", 0.213,
              "lecture notes cs231n (2016); Glorot & Bengio (2010), https://proceedings.mlr.press/v9/glorot10a.html"),
    )),
    Row("C5", "Optimisers", (
        Check("bowl", "optimizers that reach the bottom of a bowl of condition 10,000, of those there are", None,
              "Jacobs (1988), https://doi.org/10.1016/0893-6080(88)90003-2"),
        Check("curves", "Hessian-free trains the 784-400-200-100-50-25-6 autoencoder where descent does not", None,
              "Martens (2010), https://icml.cc/Conferences/2010/papers/458.pdf"),
    )),
    Row("C6", "Schedules", (
        Check("schedule-table", "greatest difference from the tabled factors", 0,
              "Loshchilov & Hutter (2016), https://arxiv.org/abs/1608.03983; Smith & Topin (2017), https://arxiv.org/abs/1708.07120"),
    )),
    Row("C7", "Against overfitting", (
        Check("dropout-mean", "greatest difference of the mean net from the geometric mean of all 256", 1e-6,
              "Hinton et al. (2012), https://arxiv.org/abs/1207.0580, section 2"),
        Check("dropout", "test accuracy % on MNIST, 1200-1200 with dropout", 98.7,
              "Srivastava et al. (2014), https://jmlr.org/papers/v15/srivastava14a.html, table 2"),
    )),
    Row("C8", "Normalisation", (
        Check("batch-norm-identity", "greatest difference from the input, with gamma its sd and beta its mean", 0,
              "Ioffe & Szegedy (2015), https://arxiv.org/abs/1502.03167"),
        Check("batch-norm-cost", "% that batch normalisation adds to a training step", 30,
              "lecture; Ioffe & Szegedy (2015), https://arxiv.org/abs/1502.03167"),
    )),
    Row("C9", "Committees", (
        Check("combination", "greatest difference from the mean and the product of two answers", 0,
              "lecture; Hinton (2002), https://doi.org/10.1162/089976602760128018"),
        Check("committees", "p of bagging against one of its members", 0.01, "Breiman (1996), https://doi.org/10.1007/BF00058655"),
    )),
    Row("C10", "Layer by layer; transfer", (
        Check("one-against-five", "test accuracy % of '1' against '5', layer by layer", None,
              "Bengio et al. (2007), https://papers.nips.cc/paper/3048"),
        Check("transfer", "p of digits 5-9 started from 0-4 against from scratch", 0.01,
              "Yosinski et al. (2014), https://arxiv.org/abs/1411.1792"),
    )),
)
