"""Healthy programs: the twins that faults are planted in, and hard negatives, which rules of thumb take for faulty.

Scores that they must reach were measured on seeds 0 to 2, and are set somewhat below the least of these.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from chainrule.recipes.faults import user_code as own
from chainrule.recipes.faults.programs import Family, Program, Registered

HEALTHY = Registered()
SGD, ADAM = "sgd:rate=0.1", "adam:rate=0.003"
DEEP = "mlp:hidden=" + "x".join(["64"] * 8)
RBM = "sgd:rate=0.1,momentum=0.9"
GAME = "adam:rate=0.001,beta1=0.5"


def add(family: Family, name: str, data: str, reaches: float, *, net: str | Callable[[], nn.Module], hard: bool = False,
        measure: str = "accuracy", loss: Any = None, judged: bool = True, **options: Any) -> Program:
    named = {key: value for key, value in (("net", net), ("loss", loss)) if isinstance(value, str)}
    return HEALTHY.add(Program(name, family, data, {**named, "batch": 32, **options}, None if isinstance(net, str) else net,
                               None if isinstance(loss, str) else loss, measure, reaches, hard, judged))


mlp, conv, rnn = partial(add, "mlp"), partial(add, "convolutional"), partial(add, "recurrent")
coder = partial(add, "autoencoder", measure="squared_error", data="digits")
gan, rbm = partial(add, "gan", measure="coverage"), partial(add, "rbm", measure="pseudo_likelihood", data="digits")

# Twins and other ordinary programs
MLP = mlp("mlp", "digits", .85, net="mlp:hidden=64x64", optimizer=SGD)
MLP_ADAM = mlp("mlp-adam", "digits", .85, net="mlp:hidden=64x64", optimizer=ADAM)
MOMENTUM = mlp("mlp-momentum", "digits", .85, net="mlp:hidden=64x64", optimizer="sgd:rate=0.02,momentum=0.9")
DEEP_RELU = mlp("mlp-deep", "digits", .8, net=DEEP, optimizer=SGD)
DEEP_ADAM = mlp("mlp-deep-adam", "digits", .8, net=DEEP, optimizer="adam:rate=0.001")
DEEP_TANH = mlp("mlp-deep-tanh", "digits", .8, net=f"{DEEP},activation=tanh", init="xavier", optimizer=SGD)
TANH = mlp("mlp-tanh", "digits", .85, net="mlp:hidden=64x64x64,activation=tanh", init="xavier", optimizer=SGD)
SIGMOID = mlp("mlp-sigmoid", "digits", .8, net="mlp:hidden=64,activation=sigmoid", init="xavier", optimizer="sgd:rate=0.5")
MNIST = mlp("mlp-mnist", "mnist", .8, net="mlp:hidden=100x100", optimizer=SGD)
MNIST_DEEP = mlp("mlp-mnist-deep", "mnist", .75, net="mlp:hidden=64x64x64x64x64x64", optimizer=SGD)
OWN = mlp("mlp-own", "digits", .75, net=own.dense, optimizer=SGD)
OWN_DEEP = mlp("mlp-own-deep", "digits", .75, net=partial(own.dense, (64, 64, 64, 64, 10)), optimizer=ADAM)
NARROW = mlp("mlp-own-narrow", "digits", .7, net=partial(own.dense, (64, 32, 8, 10)), optimizer="adam:rate=0.01")
NORMED = mlp("mlp-own-normed", "digits", .85, net=own.normed, optimizer=SGD)
BREAST = mlp("mlp-breast", "breast-cancer", .85, net="mlp:hidden=32", optimizer="adam:rate=0.01")
WINE = mlp("mlp-wine", "wine", .85, net="mlp:hidden=32", optimizer="sgd:rate=0.1", batch=16)
IRIS = mlp("mlp-iris", "iris", .8, net="mlp:hidden=16", optimizer="adam:rate=0.01", batch=16)
WAVES = mlp("mlp-waves", "waves", .8, net="mlp:hidden=64x64", optimizer="adam:rate=0.01", measure="r2")
WAVES_SGD = mlp("mlp-waves-sgd", "waves", .7, net="mlp:hidden=64x64", optimizer="sgd:rate=0.1", measure="r2")
WAVES_OWN = mlp("mlp-waves-own-loss", "waves", .7, net="mlp:hidden=64x64", loss=own.huber, optimizer="adam:rate=0.01", measure="r2")
DIABETES = mlp("mlp-diabetes", "diabetes", .3, net="mlp:hidden=16", optimizer="sgd:rate=0.03", measure="r2")
CIRCLES = mlp("mlp-circles", "circles", .9, net="mlp:hidden=32x32", optimizer="adam:rate=0.01")
QUADRANTS = mlp("mlp-quadrants", "quadrants", .85, net="mlp:hidden=32x32", optimizer="adam:rate=0.01")
RARE = mlp("mlp-rare", "rare:noise=0.6", .8, net="mlp:hidden=32", optimizer=ADAM, measure="balanced_accuracy")
APART = mlp("mlp-rows-apart", "copied:share=0", .85, net="mlp:hidden=128", optimizer="adam:rate=0.01", steps=600, measure="honesty",
            judged=False)      # it learns by heart, as it must for copied rows to matter
SMOOTHED = mlp("mlp-smoothed", "digits", .85, net="mlp:hidden=64x64", loss=own.smoothed, optimizer=SGD)
mlp("softmax", "digits", .8, net="softmax", optimizer=SGD)
mlp("linear-regression", "diabetes", .3, net="linear", optimizer="sgd:rate=0.01", measure="r2")
mlp("mlp-rmsprop", "digits", .85, net="mlp:hidden=64x64", optimizer="rmsprop:rate=0.001")
mlp("mlp-gelu", "digits", .85, net="mlp:hidden=64x64,activation=gelu", optimizer=ADAM)

CONV = conv("conv", "digits", .85, net="convnet:pattern=8-pool-16,dense=32", optimizer=SGD)
CONV_ADAM = conv("conv-adam", "digits", .85, net="convnet:pattern=8-pool-16,dense=32", optimizer=ADAM)
CONV_DEEP = conv("conv-deep", "digits", .75, net="convnet:pattern=12x12x12-pool-12x12x12,dense=32", optimizer=SGD)
CONV_TANH = conv("conv-tanh", "digits", .8, net="convnet:pattern=8-pool-16,dense=32,activation=tanh", init="xavier", optimizer=SGD)
LENET = conv("lenet", "digits", .85, net="lenet:filters=8x16,hidden=32,kernel=3", optimizer=SGD)
PATTERNS = conv("conv-patterns", "patterns", .75, net="convnet:pattern=8-pool-16,dense=32", optimizer=ADAM)
CONV_OWN = conv("conv-own", "digits", .8, net=own.convolutional, optimizer=ADAM)
CONV_NORMED = conv("conv-own-normed", "digits", .85, net=own.normed_maps, optimizer=ADAM)
conv("conv-batch-norm", "digits", .85, net="convnet:pattern=8-pool-16,dense=32,norm=batch", optimizer=SGD)
conv("conv-average", "digits", .6, net="convnet:pattern=16-pool-16,dense=32,head=average", optimizer=ADAM)

RNN_ROWS = rnn("rnn-rows", "digit-rows", .8, net="rnn:hidden=32", optimizer=ADAM)
LSTM_ROWS = rnn("lstm-rows", "digit-rows", .75, net="lstm:hidden=32", optimizer="adam:rate=0.01")
LSTM_SGD = rnn("lstm-rows-sgd", "digit-rows", .6, net="lstm:hidden=32", optimizer="sgd:rate=0.3,momentum=0.9")
GRU_ROWS = rnn("gru-rows", "digit-rows", .75, net="gru:hidden=32", optimizer="adam:rate=0.01")
RNN_RECALL = rnn("rnn-recall", "recall", .8, net="rnn:hidden=32", optimizer="adam:rate=0.001")
RNN_SGD = rnn("rnn-recall-sgd", "recall", .7, net="rnn:hidden=32", optimizer=SGD)
RNN_LONG = rnn("rnn-recall-long", "recall:length=50,rows=600", .7, net="rnn:hidden=32", optimizer="adam:rate=0.001", steps=500)
LSTM_RECALL = rnn("lstm-recall", "recall:length=30", .8, net="lstm:hidden=32", optimizer="adam:rate=0.01")
OWN_RECALL = rnn("lstm-own-recall", "recall:length=30", .8, net=partial(own.forgetful, 2.0), optimizer="adam:rate=0.01")
RELU_ROWS = rnn("rnn-own-relu-rows", "digit-rows", .7, net=partial(own.rectified, 1.0, 8), optimizer="adam:rate=0.001")
rnn("gru-recall", "recall:length=30", .8, net="gru:hidden=32", optimizer="adam:rate=0.01")

CODER = coder("autoencoder", reaches=.5, net="autoencoder:hidden=64,code=16", optimizer="adam:rate=0.01")
CODER_DEEP = coder("autoencoder-deep", reaches=.3, net="autoencoder:hidden=64x32,code=16,activation=relu", init="he", optimizer=ADAM)
CODER_SGD = coder("autoencoder-sgd", reaches=.3, net="autoencoder:hidden=64,code=16,activation=tanh",
                  optimizer="sgd:rate=0.01,momentum=0.9")
VAE = coder("vae", reaches=.3, net="vae:hidden=64,code=8", optimizer=ADAM)
coder("autoencoder-tied", reaches=.4, net="autoencoder:hidden=64,code=16,tied=yes", optimizer="adam:rate=0.01")

GAN = gan("gan", "clouds", .5, net="gan:noise=8,hidden=48x48", optimizer=GAME, steps=1000)
GAN_SQUARES = gan("gan-least-squares", "clouds", .4, net="gan:noise=8,hidden=48x48,form=least-squares", optimizer=GAME, steps=1000)
gan("gan-two-clouds", "clouds:centres=2", .4, net="gan:noise=8,hidden=48x48", optimizer=GAME, steps=800)

MACHINE = rbm("rbm", reaches=.1, net="rbm:hidden=64", steps=800, optimizer=RBM)
PERSISTENT = rbm("rbm-persistent", reaches=.1, net="rbm:hidden=64", steps=800, rule="divergence:persistent=yes", optimizer="sgd:rate=0.1")
rbm("rbm-three-steps", reaches=.1, net="rbm:hidden=64", steps=800, rule="divergence:steps=3", optimizer=RBM)

# Hard negatives
hard = partial(add, hard=True)
mlp, conv, rnn = partial(hard, "mlp"), partial(hard, "convolutional"), partial(hard, "recurrent")
coder = partial(hard, "autoencoder", measure="squared_error", data="digits")
gan, rbm = partial(hard, "gan", measure="coverage"), partial(hard, "rbm", measure="pseudo_likelihood", data="digits")
PLAIN = "mlp:hidden=64x64"

mlp("rate-half", "digits", .85, net=PLAIN, optimizer="sgd:rate=0.5")
mlp("rate-half-mnist", "mnist", .8, net="mlp:hidden=100", optimizer="sgd:rate=0.5")
mlp("rate-half-sigmoid", "digits", .75, net="mlp:hidden=64x64,activation=sigmoid", init="xavier", optimizer="sgd:rate=0.5,momentum=0.9")
mlp("warm-up", "digits", .8, net=PLAIN, optimizer=SGD, schedule="warm-up:rise=0.3,start=0.001")
mlp("warm-up-adam", "mnist", .8, net=PLAIN, optimizer=ADAM, schedule="warm-up:rise=0.5,start=0.0001")
mlp("cosine", "digits", .8, net=PLAIN, optimizer=SGD, schedule="cosine")
mlp("cosine-adam", "mnist", .8, net=PLAIN, optimizer="adam:rate=0.01", schedule="cosine")
mlp("one-cycle", "digits", .85, net=PLAIN, optimizer="sgd:rate=0.5", schedule="one-cycle")
mlp("cycles", "digits", .8, net=PLAIN, optimizer=SGD, schedule="cosine-restarts:cycles=4")
mlp("frozen-backbone", "digits", .75, net=own.frozen_backbone, optimizer=SGD)
mlp("frozen-backbone-adam", "mnist", .7, net=partial(own.frozen_backbone, 196), optimizer=ADAM)
mlp("dropout-half", "digits", .8, net="mlp:hidden=128x128,dropout=0.5", optimizer=SGD)
mlp("dropout-half-inputs", "mnist", .75, net="mlp:hidden=128,dropout=0.5,input_dropout=0.2", optimizer=ADAM)
mlp("zero-head", "digits", .75, net=lambda: own.zero_head(own.dense()), optimizer=SGD)
mlp("zero-head-deep", "digits", .75, net=lambda: own.zero_head(own.dense((64, 64, 64, 64, 10))), optimizer=ADAM)
mlp("sparse-relu", "digits", .75, net=lambda: own.biased(own.dense((64, 256, 10)), -0.3), optimizer="sgd:rate=0.3")
mlp("sparse-relu-deep", "digits", .75, net=lambda: own.biased(own.dense((64, 200, 200, 10)), -0.15), optimizer=ADAM)
mlp("converged", "digits:rows=300", .75, net=PLAIN, optimizer=SGD, steps=1200)
mlp("converged-iris", "iris", .8, net="mlp:hidden=16", optimizer="adam:rate=0.01", batch=16, steps=1000)
mlp("converged-adam", "digits", .85, net="mlp:hidden=128", optimizer="adam:rate=0.01", steps=1000)
mlp("rare-but-learnable", "rare:share=0.03,noise=0.4", .8, net="mlp:hidden=32", optimizer="adam:rate=0.002", measure="balanced_accuracy")
mlp("rare-weighted", "rare:noise=0.8", .7, net="mlp:hidden=32", optimizer=ADAM, class_weights="balanced", measure="balanced_accuracy")
mlp("batch-8", "digits", .85, net=PLAIN, optimizer="sgd:rate=0.05", batch=8, steps=600)
mlp("batch-4", "digits", .8, net=PLAIN, optimizer="sgd:rate=0.03", batch=4, steps=800)
mlp("batch-512", "digits", .8, net=PLAIN, optimizer="sgd:rate=0.5", batch=512, steps=200)
mlp("batch-whole", "wine", .85, net="mlp:hidden=32", optimizer="sgd:rate=0.2", batch=124, steps=200)
mlp("slow", "digits", .4, net=PLAIN, optimizer="sgd:rate=0.01")
mlp("slow-momentum", "digits", .7, net=PLAIN, optimizer="sgd:rate=0.003,momentum=0.9")
mlp("slow-mnist", "mnist", .4, net=PLAIN, optimizer="sgd:rate=0.01")
mlp("slow-regression", "waves", .3, net=PLAIN, optimizer="sgd:rate=0.003", measure="r2")
mlp("residual-16", "digits", .8, net=own.residual, optimizer="sgd:rate=0.01", steps=300)
mlp("residual-8-adam", "digits", .8, net=partial(own.residual, 8), optimizer="adam:rate=0.001", steps=300)
mlp("batch-norm-adam", "digits", .85, net=own.normed, optimizer=ADAM)
mlp("batch-norm-fast", "mnist", .8, net="mlp:hidden=64x64,norm=batch", optimizer="sgd:rate=0.5")
mlp("decay-small", "digits", .8, net=PLAIN, optimizer="sgd:rate=0.1,decay=0.001")
mlp("adamw-tenth", "digits", .85, net=PLAIN, optimizer="adamw:rate=0.003,decay=0.1")
mlp("low-rank", "digits", .8, net=own.low_rank, optimizer=ADAM)
mlp("linear-net", "wine", .85, net="mlp:hidden=4,activation=identity", optimizer=SGD, batch=16)
mlp("sigmoid-hidden", "mnist", .75, net="mlp:hidden=64,activation=sigmoid", init="xavier", optimizer="adam:rate=0.01")
mlp("labels-noisy", "digits:noise=0.15", .75, net=PLAIN, optimizer=SGD)
mlp("few-rows", "digits:rows=200", .7, net="mlp:hidden=32,dropout=0.3", optimizer=SGD, steps=300)
mlp("long-adam", "mnist", .8, net="mlp:hidden=100", optimizer=ADAM, steps=1000)
mlp("clipped", "digits", .8, net=PLAIN, rule="backprop:clip=1.0", optimizer="sgd:rate=0.3")
mlp("max-norm", "digits", .8, net=PLAIN, optimizer=SGD, constraint="max-norm:2")

conv("conv-rate-half", "digits", .8, net="convnet:pattern=8-pool-16,dense=32", optimizer="sgd:rate=0.3")
conv("conv-dropout", "digits", .75, net="convnet:pattern=8-pool-16,dense=64,dropout=0.5", optimizer=ADAM)
conv("conv-cosine", "digits", .75, net="convnet:pattern=8-pool-16,dense=32", optimizer=SGD, schedule="cosine")
conv("conv-batch-8", "digits", .8, net="lenet:filters=8x16,hidden=32,kernel=3", optimizer="sgd:rate=0.05", batch=8)
conv("conv-slow", "digits", .4, net="convnet:pattern=8-pool-16,dense=32", optimizer="sgd:rate=0.02")
conv("conv-residual", "digits", .7, net="resnet:depth=8,width=0.5", optimizer="sgd:rate=0.05,momentum=0.9", steps=150)
conv("conv-zero-head", "digits", .75, net=lambda: own.zero_head(own.convolutional()), optimizer=ADAM)
conv("conv-augmented", "digits", .7, net="convnet:pattern=8-pool-16,dense=32", optimizer=ADAM, augment="shift:1")

rnn("rnn-orthogonal-pixels", "digit-pixels", .2, net="rnn:hidden=32", optimizer="adam:rate=0.001", steps=200)
rnn("lstm-slow", "digit-rows", .3, net="lstm:hidden=32", optimizer=ADAM, steps=200)
rnn("gru-batch-8", "digit-rows", .75, net="gru:hidden=32", optimizer="adam:rate=0.003", batch=8)
rnn("lstm-converged", "recall:length=15,rows=300", .85, net="lstm:hidden=24", optimizer="adam:rate=0.01", steps=600)
rnn("lstm-cosine", "digit-rows", .7, net="lstm:hidden=32", optimizer="adam:rate=0.01", schedule="cosine")

coder("autoencoder-sigmoid-output", reaches=.4, net=own.sigmoid_coder, task="reconstruction", loss="squared", optimizer="adam:rate=0.01")
coder("autoencoder-bottleneck", reaches=.2, net="autoencoder:hidden=64,code=16,units=relu", optimizer="adam:rate=0.01")
coder("autoencoder-noisy", reaches=.4, net="autoencoder:hidden=64,code=16,noise=0.3", optimizer="adam:rate=0.01")
coder("autoencoder-sparse", reaches=.3, net="autoencoder:hidden=64,code=32,sparse=l1,penalty=0.001", optimizer="adam:rate=0.01")
coder("vae-small-beta", reaches=.4, net="vae:hidden=64,code=8,beta=0.2", optimizer=ADAM)

gan("gan-slow", "clouds", .2, net="gan:noise=8,hidden=48x48", optimizer="adam:rate=0.0005,beta1=0.5", steps=1000)
rbm("rbm-momentum", reaches=.1, net="rbm:hidden=64", steps=800, optimizer="sgd:rate=0.05,momentum=0.9")
rbm("rbm-slow", reaches=.1, net="rbm:hidden=64", steps=800, optimizer="sgd:rate=0.02,momentum=0.9")
rbm("rbm-sparse", reaches=.1, net="rbm:hidden=64", steps=800, rule="divergence:sparsity=0.2,sparsity_cost=0.1", optimizer=RBM)
