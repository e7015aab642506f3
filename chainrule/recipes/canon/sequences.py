"""E: sequences."""

from chainrule.workflows.canon import Check, Row

ROWS = (
    Row("E1", "Recurrent net by back-propagation through time", (
        Check("unrolled-twin", "greatest relative difference of gradients from the unrolled feed-forward twin", 1e-10,
              "Werbos (1990), https://doi.org/10.1109/5.58337"),
        Check("dynamics", "greatest difference of an exponent from the theory of many random weights, nats a step", 0.05,
              "Sompolinsky, Crisanti & Sommers (1988), https://doi.org/10.1103/PhysRevLett.61.259"),
    )),
    Row("E2", "Binary addition", (
        Check("binary-addition", "wrong sums among 10,000 pairs of 64 bits", 0, "lecture; Hinton (2012), neural networks, lecture 7"),
    )),
    Row("E3", "LSTM, GRU", (
        Check("gated-cells", "greatest difference from torch.nn", 1e-6, "Hochreiter & Schmidhuber (1997), "
              "https://doi.org/10.1162/neco.1997.9.8.1735"),
        Check("adding-problem", "squared error of an LSTM over 200 steps", 0.01, "Hochreiter & Schmidhuber (1997), "
              "https://doi.org/10.1162/neco.1997.9.8.1735, experiment 4"),
    )),
    Row("E4", "Echo-state network, Hessian-free RNN", (
        Check("echo-state", "normalised error on NARMA-10 with 400 units", 0.2, "Jaeger (2003), NIPS 15:593"),
    )),
    Row("E5", "Character model", (
        Check("character-model", "nats a character on the validation part after 15 minutes", 1.50,
              "Karpathy (2015), http://karpathy.github.io/2015/05/21/rnn-effectiveness/"),
    )),
    Row("E6", "CTC; sequence to sequence with attention", (
        Check("ctc", "greatest difference of the CTC loss from brute force", 1e-6, "Graves et al. (2006), "
              "https://doi.org/10.1145/1143844.1143891"),
        Check("translation", "% of sequences that are written backwards without an error", None,
              "Bahdanau, Cho & Bengio (2015), https://arxiv.org/abs/1409.0473"),
    )),
    Row("E7", "Forecasting", (
        Check("forecasts", "scaled error of the best forecast of the sunspots, below the naive one's 1", 1,
              "Hyndman & Koehler (2006), https://doi.org/10.1016/j.ijforecast.2006.03.001"),
    )),
    Row("E8", "Hidden Markov model, linear dynamical system", (
        Check("hmm", "greatest difference of a log likelihood from the sum over all paths of states", 1e-6,
              "Rabiner (1989), https://doi.org/10.1109/5.18626"),
        Check("lds", "greatest difference of a log likelihood from that of one joint Gaussian", 1e-6,
              "Kalman (1960), https://doi.org/10.1115/1.3662552"),
    )),
    Row("E9", "Word and residue embeddings", (
        Check("next-word", "share of words whose nearest neighbour is of their kind", None,
              "Bengio et al. (2003), https://jmlr.org/papers/v3/bengio03a.html"),
    )),
    Row("E10", "Pairs of residues", (
        Check("contacts", "L/5 long-range precision on folded chains", None, "Marks et al. (2011), "
              "https://doi.org/10.1371/journal.pone.0028766"),
        Check("structures", "% of residues whose helix, strand or loop is told", None,
              "Qian & Sejnowski (1988), https://doi.org/10.1016/0022-2836(88)90564-5"),
    )),
)
