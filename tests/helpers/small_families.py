"""Large families at fewer units: the same layers, quick to run."""

from typing import Any

SMALL: dict[str, dict[str, Any]] = {
    "alexnet": {"width": 0.125}, "vgg": {"width": 0.125}, "nin": {"width": 0.125}, "dsn": {"width": 0.125}, "all-cnn": {"width": 0.125},
    "maxout": {"filters": (8, 8, 8), "kernels": (4, 4, 3), "hidden": 10}, "fitnet": {"form": 1}, "resnet": {"width": 0.25},
    "plain": {"depth": 8}, "densenet": {"depth": 10, "growth": 4}, "fractalnet": {"maps": (8, 8)}, "googlenet": {"width": 0.125},
    "bn-inception": {"width": 0.125}, "inception-v3": {"width": 0.125}, "capsnet": {"filters": 8, "capsules": 2, "hidden": (8,)},
    "unet": {"width": 4, "depth": 2}, "holt-winters": {"season": 2}, "local": {"kernel": 3}, "detector": {"filters": (4, 8)},
    "kmeans": {"clusters": 4}, "som": {"rows": 3, "columns": 4}, "pnn": {"patterns": 12}, "hopfield": {"patterns": 3},
    "boltzmann": {"hidden": 2}, "contactnet": {"hidden": 8, "depth": 2, "pairs": 4, "pair_depth": 2},
    "dbn": {"hidden": (6,)}, "conv-dbn": {"filters": (4,), "kernels": (3,)}, "conv-rbm": {"filters": 4, "kernel": 3},
    "rnn": {"hidden": 12, "layers": 2}, "lstm": {"hidden": 12, "layers": 2}, "gru": {"hidden": 12, "layers": 2},
    "esn": {"units": 12, "connections": 4},
    "seq2seq": {"hidden": 8},
}
OF_TASK: dict[tuple[str, str], dict[str, Any]] = {("local", "segmentation"): {"centre": 4}}


def small_spec(family: str, task: str = "") -> str:
    """The family's name with these options, and those that a task needs, as a user writes it."""
    options = {**SMALL.get(family, {}), **OF_TASK.get((family, task), {})}
    words = {name: "x".join(map(str, value)) if isinstance(value, tuple) else str(value) for name, value in options.items()}
    return family + (":" + ",".join(f"{name}={word}" for name, word in words.items()) if words else "")
