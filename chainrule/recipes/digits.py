"""Handwritten digits by the classical nets, at full size: three seeds each, the mean beside the published figure."""

from __future__ import annotations

from typing import Any

from chainrule.core.registry import recipes
from chainrule.recipes.outcome import Outcome, Setting, accuracy

NIELSEN: dict[str, Any] = {"net": "mlp:hidden=30,activation=sigmoid,output=sigmoid", "loss": "squared", "init": "lecun:biases=1",
           "optimizer": "sgd:rate=3.0", "batch": 10, "epochs": 30}


@recipes("softmax", source="LeCun, Bottou, Bengio & Haffner (1998), https://doi.org/10.1109/5.726791")
def softmax(setting: Setting) -> Outcome:
    """Softmax regression on MNIST: about 92 %."""
    options = {"net": "softmax", "optimizer": "adam:rate=0.004", "schedule": "cosine", "batch": 100, "epochs": 12}
    return accuracy(setting, "mnist", options, reach=0.920,
                    source="LeCun et al. (1998), https://doi.org/10.1109/5.726791, linear classifiers at 88.0 % to 92.4 %")


@recipes("784-30-10", source="Nielsen (2015), http://neuralnetworksanddeeplearning.com/chap1.html")
def thirty(setting: Setting) -> Outcome:
    """Thirty logistic hidden units, squared error, batches of 10 at rate 3 for 30 epochs: 95.0 %."""
    return accuracy(setting, "mnist", NIELSEN, reach=0.950, source="Nielsen (2015), chapter 1, http://neuralnetworksanddeeplearning.com/chap1.html")


@recipes("784-100-10", source="Nielsen (2015), http://neuralnetworksanddeeplearning.com/chap1.html")
def hundred(setting: Setting) -> Outcome:
    """The same with a hundred hidden units: 96.59 %, of which at least 96.5 is asked."""
    return accuracy(setting, "mnist", {**NIELSEN, "net": "mlp:hidden=100,activation=sigmoid,output=sigmoid"}, reach=0.965,
                    source="Nielsen (2015), chapter 1, http://neuralnetworksanddeeplearning.com/chap1.html, 96.59 %")


@recipes("784-100-10-relu", source="Simard, Steinkraus & Platt (2003), https://doi.org/10.1109/ICDAR.2003.1227801")
def rectified(setting: Setting) -> Outcome:
    """A hundred rectified units and cross-entropy: at least 97.5 %."""
    options = {"net": "mlp:hidden=100", "optimizer": "adam:rate=0.002", "schedule": "one-cycle", "batch": 100, "epochs": 15}
    return accuracy(setting, "mnist", options, reach=0.975,
                    source="Simard, Steinkraus & Platt (2003), https://doi.org/10.1109/ICDAR.2003.1227801: 98.4 % with 800 hidden units")


@recipes("dropout", source="Srivastava et al. (2014), https://jmlr.org/papers/v15/srivastava14a.html")
def dropout(setting: Setting) -> Outcome:
    """784-1200-1200-10 with dropout in the input and both hidden layers: at most 1.3 % error."""
    options = {"net": "mlp:hidden=1200x1200,dropout=0.5,input_dropout=0.2", "optimizer": "adam:rate=0.002", "schedule": "one-cycle",
               "constraint": "max-norm:3", "batch": 256, "epochs": 60}
    return accuracy(setting, "mnist", options, reach=0.987,
                    source="Srivastava et al. (2014), table 2, https://jmlr.org/papers/v15/srivastava14a.html: 1.25 % error")


@recipes("mark-i", source="Rosenblatt (1958), https://doi.org/10.1037/h0042519")
def mark_i(setting: Setting) -> Outcome:
    """The Mark I on MNIST: 400 photocells, a random fixed association layer, and the perceptron rule: at least 85 %."""
    options = {"net": "mark-i", "rule": "perceptron", "epochs": 10}
    return accuracy(setting, "mnist", options, reach=0.85, source="asked of this machine; Rosenblatt (1958) had no digits")


@recipes("lenet", source="LeCun, Bottou, Bengio & Haffner (1998), https://doi.org/10.1109/5.726791")
def lenet(setting: Setting) -> Outcome:
    """LeNet-5 on MNIST within five minutes: 99.05 %, of which at least 99.0 is asked."""
    options = {"net": "lenet", "optimizer": "adam:rate=0.002", "schedule": "one-cycle", "batch": 50, "epochs": 4, "seconds": 290.0}
    small = {"net": "mlp:hidden=16"}  # the embedded digits are smaller than its first kernel allows
    return accuracy(setting, "mnist", options, small=small, reach=0.990,
                    source="LeCun et al. (1998), https://doi.org/10.1109/5.726791, 99.05 %")
