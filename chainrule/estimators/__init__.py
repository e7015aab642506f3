"""scikit-learn estimators: nets with `fit` and `predict`."""

from chainrule.estimators.estimators import NetworkClassifier, NetworkGenerator, NetworkRegressor, NetworkTransformer

__all__ = ["NetworkClassifier", "NetworkGenerator", "NetworkRegressor", "NetworkTransformer"]
