"""F: unsupervised and energy-based."""

from chainrule.workflows.canon import Check, Row

HINTON = "Hinton (2002), https://doi.org/10.1162/089976602760128018"
SCIENCE = "Hinton & Salakhutdinov (2006), https://doi.org/10.1126/science.1127647"

ROWS = (
    Row("F1", "Restricted Boltzmann machine", (
        Check("contrastive-divergence", "greatest difference from the exact gradient of 4 x 3 units, at the model's own distribution", 0,
              HINTON),
        Check("partition-function", "relative error of AIS against enumeration", 0.01,
              "Salakhutdinov & Murray (2008), https://doi.org/10.1145/1390156.1390266"),
    )),
    Row("F2", "Deep belief network", (
        Check("deep-belief", "test error % of 784-500-500-2000 on MNIST", 1.25,
              "Hinton, Osindero & Teh (2006), https://doi.org/10.1162/neco.2006.18.7.1527"),
        Check("deep-belief-quick", "the same in at most 20 minutes", 1.8, "asked of the library"),
        Check("deep-belief-backprop", "the same, tuned by back-propagation", 1.2, SCIENCE),
    )),
    Row("F3", "Deep autoencoder from four RBMs", (
        Check("deep-autoencoder", "squared error of 30-component PCA over that of the autoencoder", 3, SCIENCE),
    )),
    Row("F4", "Convolutional RBM and DBN", (
        Check("convolutional-belief", "test accuracy % of an SVM on its codes of MNIST", None,
              "Lee et al. (2009), https://doi.org/10.1145/1553374.1553453"),
    )),
    Row("F5", "Autoencoders", (
        Check("linear-autoencoder", "distance of its codes' span from that of PCA", 1e-3,
              "Baldi & Hornik (1989), https://doi.org/10.1016/0893-6080(89)90014-2"),
        Check("autoencoder-counts", "parameters of 100-50-10-50-100", 11_210, "lecture"),
        Check("variational", "evidence lower bound on binarised MNIST, nats", -100,
              "Kingma & Welling (2014), https://arxiv.org/abs/1312.6114"),
        Check("denoising", "p of a softmax of denoising codes against one of raw pixels, MNIST", 0.01,
              "Vincent, Larochelle, Bengio & Manzagol (2008), https://doi.org/10.1145/1390156.1390294"),
    )),
    Row("F6", "Hopfield net, map, PNN, Boltzmann machine", (
        Check("hopfield", "share of 0.1 N patterns recalled from 10 % flipped bits", 1, "Hopfield (1982), "
              "https://doi.org/10.1073/pnas.79.8.2554"),
        Check("self-organising-map", "share of neighbouring units that answer neighbouring inputs", None, "Kohonen (1982), "
              "https://doi.org/10.1007/BF00337288"),
        Check("probabilistic-net", "test accuracy % on digits", None, "Specht (1990), https://doi.org/10.1016/0893-6080(90)90049-Q"),
        Check("boltzmann", "distance of its learned distribution from the data's", None, "Ackley, Hinton & Sejnowski (1985), "
              "https://doi.org/10.1207/s15516709cog0901_7"),
    )),
    Row("F7", "Generative adversarial net", (
        Check("eight-gaussians", "modes covered of the ring of eight", 8, "Goodfellow et al. (2014), https://arxiv.org/abs/1406.2661"),
        Check("generated-digits", "share of samples that a classifier takes for the class that was asked for", None,
              "Mirza & Osindero (2014), https://arxiv.org/abs/1411.1784"),
    )),
    Row("F8", "Pretraining for a few labels", (
        Check("few-labels", "p against the same net from scratch, 100 labels of MNIST", 0.01,
              "Erhan et al. (2010), https://jmlr.org/papers/v11/erhan10a.html"),
    )),
)
