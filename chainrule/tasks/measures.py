"""The measures that tasks compute themselves, many at once and with intervals: which way each is better, and its unit."""

from __future__ import annotations

from typing import Literal

from chainrule.core import registry
from chainrule.evaluate.forecasts import forecast
from chainrule.evaluate.generation import covered
from chainrule.evaluate.measures import TOP, classification, density, regression, step_means

SKLEARN = "Pedregosa et al. (2011), https://jmlr.org/papers/v12/pedregosa11a.html"
SHANNON = "Shannon (1951), https://doi.org/10.1002/j.1538-7305.1951.tb01366.x"
KIVILUOTO = "Kiviluoto (1996), https://doi.org/10.1109/ICNN.1996.548907"
NAEEM = "Naeem et al. (2020), https://arxiv.org/abs/2002.09797"
HYNDMAN = "Hyndman & Koehler (2006), https://doi.org/10.1016/j.ijforecast.2006.03.001"
Better = Literal["higher", "lower"]

SHARES = ("accuracy", "precision", "recall", "f1", "macro_precision", "macro_recall", "macro_f1", *(f"top_{k}" for k in TOP))
OF_CLASSES: dict[str, tuple[Better, str]] = {
    **dict.fromkeys(SHARES, ("higher", "share")), **dict.fromkeys(("roc_auc", "average_precision"), ("higher", "")),
    "log_loss": ("lower", "nats"), "brier": ("lower", ""), "ece": ("lower", "")}
OF_VALUES: dict[str, tuple[Better, str]] = {"mse": ("lower", ""), "rmse": ("lower", ""), "mae": ("lower", ""), "r2": ("higher", "")}
OF_SCORES: dict[str, tuple[Better, str]] = {
    "log_likelihood": ("higher", "nats"), "pseudo_likelihood": ("higher", "nats"), "free_energy": ("lower", ""),
    "mean_output": ("higher", ""), "squared_error": ("lower", ""),
    "elbo": ("higher", "nats"), "importance_bound": ("higher", "nats")}
OF_SAMPLES: dict[str, tuple[Better, str]] = dict.fromkeys(("clusters", "discriminator_accuracy"), ("higher", "share"))
OF_FORECASTS: dict[str, tuple[Better, str]] = {"mase": ("lower", ""), "smape": ("lower", "share"), "coverage": ("higher", "share")}
OF_PROTOTYPES: dict[str, tuple[Better, str]] = {
    "quantisation_error": ("lower", ""), "topographic_error": ("lower", "share"), "purity": ("higher", "share")}
OF_STEPS: dict[str, tuple[Better, str]] = {
    "nats": ("lower", "nats"), "perplexity": ("lower", ""), "bits": ("lower", "bits"), "exact": ("higher", "share"),
    "edit_distance": ("lower", "edits a symbol")}

for source, make, names in ((SKLEARN, classification, OF_CLASSES), (SKLEARN, regression, OF_VALUES), (SKLEARN, density, OF_SCORES),
                            (SHANNON, step_means, OF_STEPS),
                            (KIVILUOTO, step_means, OF_PROTOTYPES), (NAEEM, covered, OF_SAMPLES), (HYNDMAN, forecast, OF_FORECASTS)):
    for name, (better, unit) in names.items():
        registry.measures(name.replace("_", "-"), source=source, better=better, unit=unit)(make)
