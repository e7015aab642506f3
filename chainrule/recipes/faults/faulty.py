"""Faulty programs: a healthy twin, and one thing that was changed in it. The first code is the planted diagnosis, see `docs/diagnoses`.

Codes after the first name the same fault where two diagnoses do: an initial scale (D13) whose gradient explodes (D16), for instance. They
were written before the doctor was run on the programs.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from chainrule.recipes.faults import healthy as twin
from chainrule.recipes.faults import user_code as own
from chainrule.recipes.faults.programs import Program, Registered

FAULTY = Registered()
EIGHT = twin.DEEP
CONVS = "convnet:pattern=12x12x12-pool-12x12x12,dense=32"


def plant(healthy: Program, name: str, *cause: str, **changes: Any) -> Program:
    return FAULTY.add(healthy.faulty(name, *cause, **changes))


def constant(value: float, activation: type[nn.Module] = nn.ReLU) -> Any:
    return lambda: own.constant(own.dense((64, 64, 64, 10), activation), value)


# Vanishing gradients in depth
plant(twin.DEEP_RELU, "vanishing-sigmoid-xavier", "D14", net=f"{EIGHT},activation=sigmoid", init="xavier")
plant(twin.DEEP_RELU, "vanishing-sigmoid-small", "D14", net=f"{EIGHT},activation=sigmoid", init="normal:0.01")
plant(twin.DEEP_RELU, "vanishing-relu-small", "D14", init="normal:0.02")
plant(twin.DEEP_TANH, "vanishing-tanh-small", "D14", init="normal:0.02")
plant(twin.DEEP_ADAM, "vanishing-sigmoid-adam", "D14", net=f"{EIGHT},activation=sigmoid", init="lecun")
plant(twin.MNIST_DEEP, "vanishing-mnist-sigmoid", "D14", net="mlp:hidden=64x64x64x64x64x64,activation=sigmoid", init="normal:0.1")
plant(twin.MNIST_DEEP, "vanishing-mnist-relu-small", "D14", init="normal:0.01")
plant(twin.OWN_DEEP, "vanishing-own-scaled", "D14", optimizer=twin.SGD,
      net=lambda: own.scaled(own.dense((64, 64, 64, 64, 64, 64, 10)), 0.15))
plant(twin.CONV_DEEP, "vanishing-conv-sigmoid", "D14", net=f"{CONVS},activation=sigmoid", init="xavier")
plant(twin.CONV_DEEP, "vanishing-conv-small", "D14", init="normal:0.01")
plant(twin.CODER_DEEP, "vanishing-autoencoder", "D14", net="autoencoder:hidden=64x48x32,code=16,activation=sigmoid", init="normal:0.02",
      optimizer="sgd:rate=0.1")

# Through time
plant(twin.RNN_SGD, "forgetting-rnn-half", "D15", init="orthogonal:gain=0.5")
plant(twin.RNN_SGD, "forgetting-rnn-small", "D15", init="normal:0.05")
plant(twin.RNN_SGD, "forgetting-rnn-slowly", "D15", init="orthogonal:gain=0.7")
plant(twin.RNN_SGD, "forgetting-rnn-tiny", "D15", init="normal:0.01")

# Initial weights
plant(twin.DEEP_RELU, "exploding-orthogonal", "D13", "D16", init="orthogonal:gain=3")
plant(twin.DEEP_RELU, "exploding-normal", "D13", "D16", init="normal:0.5")
plant(twin.MLP, "scale-normal-1", "D13", "D16", init="normal:1")
plant(twin.MNIST, "scale-mnist-normal-1", "D13", "D16", init="normal:1")
plant(twin.MLP_ADAM, "scale-adam-normal-2", "D13", "D16", init="normal:2")
plant(twin.CONV, "scale-conv-normal-1", "D13", "D16", init="normal:1")
plant(twin.LENET, "scale-lenet-normal-1", "D13", "D16", init="normal:1")
plant(twin.RELU_ROWS, "exploding-rnn-relu", "D16", "D35", "D13", net=partial(own.rectified, 4.0, 8))
plant(twin.RNN_LONG, "exploding-rnn-tanh", "D16", "D35", "D13", init="orthogonal:gain=2.5")
plant(twin.RNN_RECALL, "exploding-rnn-tanh-short", "D16", "D35", "D13", init="orthogonal:gain=2.0")
plant(twin.MLP, "symmetric-zeros", "D12", init="zeros")
plant(twin.OWN, "symmetric-constant", "D12", net=constant(0.05))
plant(twin.OWN_DEEP, "symmetric-constant-tanh", "D12", net=constant(0.1, nn.Tanh))
plant(twin.CONV, "symmetric-conv-zeros", "D12", init="zeros")
plant(twin.CONV_OWN, "symmetric-conv-constant", "D12", net=lambda: own.constant(own.convolutional(), 0.05))
plant(twin.GRU_ROWS, "symmetric-gru-zeros", "D12", init="zeros")
plant(twin.MACHINE, "symmetric-rbm-zeros", "D12", init="zeros")
plant(twin.CODER, "symmetric-autoencoder-zeros", "D12", init="zeros")

# Units that are dead or saturated
plant(twin.OWN, "dead-first-layer", "D17", net=lambda: own.biased(own.dense(), -6.0, slice(0, 1)))
plant(twin.OWN, "dead-all-layers", "D17", net=lambda: own.biased(own.dense(), -5.0))
plant(twin.OWN_DEEP, "dead-third-layer", "D17", net=lambda: own.biased(own.dense((64, 64, 64, 64, 10)), -8.0, slice(2, 3)))
plant(twin.CONV_OWN, "dead-conv", "D17", net=lambda: own.biased(own.convolutional(), -6.0, slice(0, 2)))
plant(twin.CONV_OWN, "dead-conv-dense", "D17", net=lambda: own.biased(own.convolutional(), -9.0, slice(2, 3)))
plant(twin.TANH, "saturated-tanh", "D18", init="normal:1.5")
plant(twin.DEEP_TANH, "saturated-tanh-deep", "D18", init="normal:1")
plant(twin.SIGMOID, "saturated-sigmoid", "D18", net="mlp:hidden=64x64,activation=sigmoid", init="normal:8")
plant(twin.CONV_TANH, "saturated-conv-tanh", "D18", init="normal:2")
plant(twin.RNN_ROWS, "saturated-rnn", "D18", init="normal:2")
plant(twin.CODER_SGD, "saturated-autoencoder", "D18", init="normal:2")

# Steps that are too large
HIGH = ("D19", "D37")
plant(twin.MLP, "rate-5", *HIGH, optimizer="sgd:rate=5")
plant(twin.MLP, "rate-500", *HIGH, optimizer="sgd:rate=500")
plant(twin.MOMENTUM, "rate-momentum", *HIGH, optimizer="sgd:rate=1.5,momentum=0.9")
plant(twin.MLP_ADAM, "rate-adam-half", *HIGH, optimizer="adam:rate=0.5")
plant(twin.TANH, "rate-tanh", *HIGH, optimizer="sgd:rate=20")
plant(twin.MNIST, "rate-mnist", *HIGH, optimizer="sgd:rate=10")
plant(twin.WINE, "rate-wine", *HIGH, optimizer="sgd:rate=1000")
plant(twin.WAVES_SGD, "rate-regression", *HIGH, optimizer="sgd:rate=3")
plant(twin.DEEP_ADAM, "rate-adam-deep", *HIGH, optimizer="adam:rate=0.1")
plant(twin.CONV, "rate-conv", *HIGH, optimizer="sgd:rate=3")
plant(twin.CONV_ADAM, "rate-conv-adam", *HIGH, optimizer="adam:rate=0.2")
plant(twin.LSTM_ROWS, "rate-lstm-adam", *HIGH, optimizer="adam:rate=1")
plant(twin.GRU_ROWS, "rate-gru", *HIGH, optimizer="sgd:rate=30")
plant(twin.CODER, "rate-autoencoder-adam", *HIGH, optimizer="adam:rate=1")
plant(twin.CODER_SGD, "rate-autoencoder-sgd", *HIGH, optimizer="sgd:rate=3")
plant(twin.MACHINE, "rate-rbm", *HIGH, "D34", optimizer="sgd:rate=50")
plant(twin.VAE, "rate-vae", *HIGH, optimizer="adam:rate=0.5")

# Steps that are too small
plant(twin.MLP, "creeping-sgd", "D20", optimizer="sgd:rate=0.00001")
plant(twin.MLP_ADAM, "creeping-adam", "D20", optimizer="adam:rate=0.00000001")
plant(twin.MNIST, "creeping-mnist", "D20", optimizer="sgd:rate=0.000001")
plant(twin.WAVES_SGD, "creeping-regression", "D20", optimizer="sgd:rate=0.000003")
plant(twin.CONV, "creeping-conv", "D20", optimizer="sgd:rate=0.000003")
plant(twin.LSTM_SGD, "creeping-lstm", "D20", optimizer="sgd:rate=0.00001")
plant(twin.GRU_ROWS, "creeping-gru", "D20", optimizer="adam:rate=0.0000001")
plant(twin.CODER_SGD, "creeping-autoencoder", "D20", optimizer="sgd:rate=0.000001")
plant(twin.MACHINE, "creeping-rbm", "D20", optimizer="sgd:rate=0.0000001")

# Outputs, losses, and code that cuts the gradient
plant(twin.MNIST, "output-softmax", "D07", net="mlp:hidden=100x100,output=softmax")
plant(twin.CONV_OWN, "output-softmax-conv", "D07", net=lambda: own.convolutional(last=nn.Softmax(1)), optimizer=twin.SGD)
plant(twin.MLP, "output-relu", "D07", net="mlp:hidden=64x64,output=relu")
plant(twin.OWN, "output-sigmoid", "D07", net=lambda: own.dense(last=nn.Sigmoid()))
plant(twin.WAVES, "range-relu", "D03", net="mlp:hidden=64x64,output=relu")
plant(twin.WAVES, "range-sigmoid", "D03", net="mlp:hidden=64x64,output=sigmoid")
plant(twin.DIABETES, "range-sigmoid-diabetes", "D03", net="mlp:hidden=16,output=sigmoid")
plant(twin.SMOOTHED, "sign-cross-entropy", "D08", loss=own.minus_cross_entropy, optimizer="sgd:rate=0.01")
plant(twin.WAVES_OWN, "sign-squared", "D08", loss=own.minus_squared, optimizer="sgd:rate=0.001")
plant(twin.LSTM_ROWS, "sign-lstm", "D08", loss=own.minus_cross_entropy, optimizer="adam:rate=0.001")
plant(twin.NARROW, "cut-detach", "D09", net=lambda: own.detached(own.dense((64, 32, 8, 10))))
plant(twin.NARROW, "cut-round", "D09", net=lambda: own.rounded(own.dense((64, 32, 8, 10))))
plant(twin.NARROW, "cut-step", "D09", net="mlp:hidden=16x6,activation=step")
plant(twin.CONV_OWN, "cut-conv", "D09", net=own.cut_maps)
plant(twin.NORMED, "stale-statistics", "D23", net=partial(own.normed, 0.0001))
plant(twin.CONV_NORMED, "stale-statistics-conv", "D23", net=partial(own.normed_maps, 0.0001))
plant(twin.OWN, "nan-square-root", "D21", net=lambda: own.with_function(torch.sqrt))
plant(twin.OWN, "nan-logarithm", "D21", net=lambda: own.with_function(lambda x: x.relu().log()))
plant(twin.OWN, "nan-division", "D21", net=lambda: own.with_function(lambda x: x.relu() / x.relu().std(0)))
plant(twin.SMOOTHED, "nan-shares", "D21", loss=own.shares_by_hand)
plant(twin.CIRCLES, "linear-circles", "D11", net="mlp:hidden=32x32,activation=identity")
plant(twin.QUADRANTS, "linear-quadrants", "D11", net="mlp:hidden=32x32,activation=identity")
plant(twin.OWN, "inputs-times-255", "D02", "D13", net=lambda: own.multiplied(own.dense(), 255.0))
plant(twin.CONV_OWN, "inputs-times-1000", "D02", "D13", net=lambda: own.multiplied(own.convolutional(), 1000.0), optimizer=twin.SGD)

# Regularisation, generalisation, data
plant(twin.MLP, "decay-sgd", "D22", optimizer="sgd:rate=0.1,decay=0.3")
plant(twin.MLP_ADAM, "decay-adam", "D22", optimizer="adam:rate=0.003,decay=1")
plant(twin.LENET, "decay-lenet", "D22", optimizer="sgd:rate=0.1,decay=0.3")
plant(twin.LSTM_SGD, "decay-lstm", "D22", optimizer="sgd:rate=0.3,momentum=0.9,decay=0.05")
plant(twin.CODER_SGD, "decay-autoencoder", "D22", optimizer="sgd:rate=0.01,momentum=0.9,decay=1")
plant(twin.MLP, "dropout", "D22", net="mlp:hidden=64x64,dropout=0.95")
plant(twin.MNIST, "dropout-mnist", "D22", net="mlp:hidden=100x100,dropout=0.95")
plant(twin.CONV_ADAM, "dropout-conv", "D22", net="convnet:pattern=8-pool-16,dense=32,dropout=0.97")
plant(twin.MLP_ADAM, "overfit", "D24", data="digits:rows=60,noise=0.2", net="mlp:hidden=256x256", steps=400)
plant(twin.MNIST, "overfit-mnist", "D24", data="mnist:rows=80", net="mlp:hidden=256x256", optimizer=twin.ADAM, steps=400)
plant(twin.WAVES, "overfit-regression", "D24", data="waves:rows=40", net="mlp:hidden=128x128", steps=500)
plant(twin.PATTERNS, "overfit-conv", "D24", data="patterns:rows=50", steps=500)
plant(twin.LSTM_ROWS, "overfit-lstm", "D24", data="digit-rows:rows=60", net="lstm:hidden=64", steps=500)
plant(twin.MLP_ADAM, "labels-permuted", "D25", data="digits:labels=permuted", net="mlp:hidden=256x256", steps=800)
plant(twin.MNIST, "labels-permuted-mnist", "D25", data="mnist:labels=permuted,rows=1000", net="mlp:hidden=256x256", optimizer=twin.ADAM,
      steps=900)
plant(twin.PATTERNS, "labels-permuted-conv", "D25", data="patterns:labels=permuted,rows=500", steps=900)
plant(twin.LSTM_ROWS, "labels-permuted-lstm", "D25", data="digit-rows:labels=permuted,rows=300", net="lstm:hidden=64", steps=900)
plant(twin.SMOOTHED, "targets-shuffled", "D26", "D30", loss=own.among_others, steps=600)
plant(twin.WAVES_OWN, "targets-shuffled-regression", "D26", "D30", loss=own.squared_among_others, steps=600)
plant(twin.RARE, "collapsed-to-one-class", "D06", "D31", data="rare:noise=2.0", optimizer="sgd:rate=0.01", steps=300)
plant(twin.RARE, "collapsed-rarer", "D06", "D31", data="rare:share=0.03,noise=2.5", optimizer="sgd:rate=0.05", steps=300)
plant(twin.APART, "leaking-half", "D05", data="copied:share=0.5")
plant(twin.APART, "leaking-most", "D05", data="copied:share=0.9", net="mlp:hidden=64x64")

# Generators
plant(twin.VAE, "collapsed-posterior", "D28", net="vae:hidden=64,code=8,beta=50")
plant(twin.VAE, "collapsed-posterior-20", "D28", net="vae:hidden=64,code=16,beta=20")
plant(twin.GAN, "game-discriminator-wins", "D29", rule="adversarial:generator=adam:rate=0.00001,discriminator=adam:rate=0.005")
plant(twin.GAN, "game-generator-wild", "D29", rule="adversarial:generator=adam:rate=0.05,discriminator=adam:rate=0.0005")
plant(twin.GAN_SQUARES, "game-squares-still", "D29", rule="adversarial:generator=adam:rate=0.000001,discriminator=adam:rate=0.003")
