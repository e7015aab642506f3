"""D: convolutional networks."""

from chainrule.workflows.canon import Check, Row

LECUN = "LeCun, Bottou, Bengio & Haffner (1998), https://doi.org/10.1109/5.726791"

ROWS = (
    Row("D1", "Convolution and pooling arithmetic", (
        Check("convolution-arithmetic", "greatest difference from the worked convolutions and poolings", 0, "lecture; Dumoulin & Visin "
              "(2016), https://arxiv.org/abs/1603.07285"),
    )),
    Row("D2", "Classical convolutional nets", (
        Check("lenet", "test accuracy % on MNIST within five minutes", 99.0, LECUN),
        Check("lenet-5", "test error % of LeNet-5 on MNIST", 0.95, LECUN),
        Check("cifar-10", "test accuracy % on CIFAR-10 within forty minutes", 90.0, "asked of this machine; Krizhevsky (2009)"),
        Check("cifar-10-small", "test accuracy % on CIFAR-10 by at most 0.3 million weights", 85.0,
              "asked of this machine; He et al. (2016), https://arxiv.org/abs/1512.03385"),
        Check("fast-cifar-10", "test accuracy % on CIFAR-10 within an hour", 94.0, "Jordan (2024), https://arxiv.org/abs/2404.00498"),
        Check("alexnet-vgg", "test error % of VGG-16 on CIFAR-10", 7.55, "Zagoruyko (2015), http://torch.ch/blog/2015/07/30/cifar.html"),
        Check("classical-counts", "parameters of LeNet-5 with its connection table", 60_000, LECUN + ", section II.B, and others"),
    )),
    Row("D3", "GoogLeNet, BN-Inception, Inception-v3", (
        Check("inception-counts", "millions of parameters of GoogLeNet with its auxiliary heads", 13.0,
              "Szegedy et al. (2015), https://arxiv.org/abs/1409.4842"),
    )),
    Row("D4", "ResNets and FractalNet", (
        Check("residual-counts", "millions of parameters of ResNet-20", 0.27, "He et al. (2016), https://arxiv.org/abs/1512.03385"),
        Check("fractal-counts", "millions of parameters of FractalNet, 20 layers", 38.6,
              "Larsson, Maire & Shakhnarovich (2017), https://arxiv.org/abs/1605.07648, table 1"),
        Check("residual-depth", "error % of ResNet-56 less that of ResNet-20, plain nets the other way round", 0,
              "He et al. (2016), https://arxiv.org/abs/1512.03385, table 6"),
        Check("depth", "error % of the plain net of 56 layers less that of 20, residual, highway and dense the other way round", 0,
              "He et al. (2016), https://arxiv.org/abs/1512.03385, figure 6 and table 6"),
        Check("resnet-110", "test error % on CIFAR-10", 6.61, "He et al. (2016), https://arxiv.org/abs/1512.03385, table 6"),
        Check("resnet-164", "test error % on CIFAR-10, pre-activation", 5.46,
              "He et al. (2016), https://arxiv.org/abs/1603.05027, table 4"),
    )),
    Row("D5", "Highway network, DenseNet", (
        Check("dense-counts", "millions of parameters of DenseNet, k = 12, L = 40", 1.0, "Huang et al. (2017), "
              "https://arxiv.org/abs/1608.06993"),
        Check("quartet", "error % of a residual net of 25 convolutions less that of a plain one", 0, "lecture"),
        Check("densenet-bc", "test error % on CIFAR-10", 4.51, "Huang et al. (2017), https://arxiv.org/abs/1608.06993, table 2"),
        Check("dense-against-residual", "parameters of DenseNet-201 over those of ResNet-101", 0.5, "Huang et al. (2017), "
              "https://arxiv.org/abs/1608.06993, section 4.4 and figure 4"),
    )),
    Row("D6", "Capsule network", (
        Check("capsule", "test error % on MNIST", 0.6, "Sabour, Frosst & Hinton (2017), https://arxiv.org/abs/1710.09829"),
        Check("capsule-counts", "millions of parameters with the reconstruction part", 8.2,
              "Sabour, Frosst & Hinton (2017), https://arxiv.org/abs/1710.09829"),
    )),
    Row("D7", "Any size of picture; augmentation", (
        Check("transformations", "p of LeNet with transformations against without", 0.05,
              "Simard, Steinkraus & Platt (2003), https://doi.org/10.1109/ICDAR.2003.1227801"),
        Check("lenet-committee", "test error % of seven LeNets with transformations, MNIST", 0.27,
              "Ciresan, Meier & Schmidhuber (2012), https://arxiv.org/abs/1202.2745, 0.23 % by 35 nets"),
    )),
    Row("D8", "Larger inputs than trained on", (
        Check("strips", "% of strips of five digits that are read right throughout", 95,
              "asked of this net; Matan, Burges, LeCun & Denker (1992), NIPS 4:488"),
    )),
    Row("D9", "Boxes and maps", (
        Check("boxes", "% of boxes with an intersection over union of at least 0.5", 90,
              "asked of drawn scenes; Everingham et al. (2010), https://doi.org/10.1007/s11263-009-0275-4"),
        Check("roads", "IoU of the net less that of the maps it learned from, in points", 0,
              "Mnih & Hinton (2012), ICML 29, https://icml.cc/2012/papers/318.pdf"),
    )),
    Row("D10", "Convolution in one dimension", (
        Check("one-dimensional", "test accuracy of a ResNet on series and a text CNN on embedded sets", 0.9,
              "Wang, Yan & Oates (2017), https://arxiv.org/abs/1611.06455; Kim (2014), https://arxiv.org/abs/1408.5882"),
    )),
)
