"""Networks as scikit-learn estimators: they clone, search, pipe and validate like any other.

Pedregosa et al. (2011), https://jmlr.org/papers/v12/pedregosa11a.html; the contract is Buitinck et al. (2013), https://arxiv.org/abs/1309.0238
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, RegressorMixin, TransformerMixin
from sklearn.utils import check_random_state, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)
from torch import Tensor

from chainrule.core.abilities.nets import HasCodes, Samples
from chainrule.core.errors import InputError
from chainrule.data.readers import arrays, objects, tables
from chainrule.data.source import Source, TargetKind
from chainrule.engine.randomness import Aside
from chainrule.estimators.fit import Learned, NetLike, go_on, learn
from chainrule.job.build import LossLike
from chainrule.job.options import Options

SEEDS = 2**31 - 1
__all__ = ["NetworkClassifier", "NetworkGenerator", "NetworkRegressor", "NetworkTransformer"]


class _Network(BaseEstimator):
    """What all four share: parameters into options, X and y into a source, a fit that knows no folder."""

    _default_net: str | None = None
    learned_: Learned

    def __init__(self, net: NetLike = None, *, rule: str | None = None, optimizer: str | None = None, schedule: str | None = None,
                 init: str | None = None, epochs: int | None = None, batch: int | None = None, plan: str = Options.plan,
                 precision: str = Options.precision, device: str = Options.device, threads: int | None = None, random_state: Any = None,
                 verbose: bool = False):
        self.net = net
        self.rule = rule
        self.optimizer = optimizer
        self.schedule = schedule
        self.init = init
        self.epochs = epochs
        self.batch = batch
        self.plan = plan
        self.precision = precision
        self.device = device
        self.threads = threads
        self.random_state = random_state
        self.verbose = verbose

    @property
    def module_(self) -> torch.nn.Module:
        """The trained torch module, in evaluation mode."""
        return self.learned_.module

    @property
    def history_(self) -> list[dict[str, Any]]:
        """One row for each epoch: epoch, step, train_loss and the validation measures; a DataFrame takes it as it is."""
        return self.learned_.history

    @property
    def n_iter_(self) -> int:
        """Epochs trained."""
        return self.learned_.epochs

    @property
    def options_(self) -> dict[str, Any]:
        """Every option as it was used, those included that were chosen."""
        return self.learned_.options.to_json()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.sparse = True
        return tags

    def _net(self) -> NetLike:
        return self._default_net if self.net is None else self.net

    def _options(self) -> Options:
        """The parameters as the engine's options; those that are objects of the caller's own travel beside them."""
        values = {name: value for name, value in self.get_params(deep=False).items() if name in Options.__dataclass_fields__}
        net = self._net()
        values |= {"net": net if isinstance(net, str) else None, "seed": int(check_random_state(self.random_state).randint(SEEDS))}
        return Options.from_json({name: None if callable(value) else value for name, value in values.items()})

    def _read(self, X: Any, *, reset: bool) -> Any:
        """X as the encoder takes it: a table where the columns hold words or gaps, else numbers checked by scikit-learn."""
        if tables.is_frame(X) and (_mixed(X) if reset else self.learned_.encoder.inputs.kind == "table"):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return tables.of_frame(X, "X")
        return self._numbers(validate_data(self, X, reset=reset, **self._checks), reset)

    @property
    def _checks(self) -> dict[str, Any]:
        """What scikit-learn is to check of arrays: gaps pass where the estimator allows them, sparse rows are made dense."""
        finite = "allow-nan" if self.__sklearn_tags__().input_tags.allow_nan else True
        return {"allow_nd": True, "accept_sparse": True, "ensure_all_finite": finite}

    def _numbers(self, checked: Any, reset: bool) -> Any:
        """Numbers as the encoder takes them: with gaps a table, whose gaps are filled in as those of a file."""
        x = objects.plain(checked, "X", gaps=False)
        inputs = None if reset else self.learned_.encoder.inputs
        gaps, named = objects.framed(x, "X") is not x, inputs is not None and inputs.kind == "table"
        numbered = inputs is not None and tuple(inputs.column_kinds) == objects.numbered(len(inputs.column_kinds))
        if (named and numbered) or (gaps and inputs is None):
            return tables.of_frame(objects.as_numbered(x), "X")
        if inputs is None or named or not gaps:
            return arrays.as_held(x, "X") if named else arrays.of_inputs(x, "X")
        return objects.with_means(x, inputs)

    def _read_both(self, X: Any, y: Any, reset: bool, **check: Any) -> tuple[Any, np.ndarray]:
        """X as above, and y checked against it."""
        if tables.is_frame(X) and (_mixed(X) if reset else self.learned_.encoder.inputs.kind == "table"):
            table = self._read(X, reset=reset)
            y = check_array(y, ensure_2d=False, dtype="numeric" if check.get("y_numeric") else None, input_name="y")
            check_consistent_length(X, y)
            return table, y
        x, y = validate_data(self, X, y, reset=reset, **self._checks, **check)
        return self._numbers(x, reset), y


class _Supervised(_Network):
    def __init__(self, net: NetLike = None, *, rule: str | None = None, loss: LossLike = None, optimizer: str | None = None,
                 schedule: str | None = None, init: str | None = None, epochs: int | None = None, batch: int | None = None,
                 patience: int | None = None, validation_fraction: float | None = None, plan: str = Options.plan,
                 precision: str = Options.precision, device: str = Options.device, threads: int | None = None, random_state: Any = None,
                 verbose: bool = False):
        super().__init__(net, rule=rule, optimizer=optimizer, schedule=schedule, init=init, epochs=epochs, batch=batch, plan=plan,
                         precision=precision, device=device, threads=threads, random_state=random_state, verbose=verbose)
        self.loss = loss
        self.patience = patience
        self.validation_fraction = validation_fraction

    def _fit(self, source: Source, weight: np.ndarray | None, emphasis: np.ndarray | None) -> None:
        rows = None if weight is None else torch.from_numpy(np.flatnonzero(weight))
        self.learned_ = learn(source, self._options(), net=self._net(), loss=self.loss, rows=rows, weight=_tensor(weight),
                              emphasis=_tensor(emphasis), validation=self.validation_fraction, watch=bool(self.verbose))

    def _go_on(self, source: Source, weight: np.ndarray | None, emphasis: np.ndarray | None) -> None:
        before = getattr(self, "learned_", None)
        self.learned_ = go_on(source, self._options(), before, net=self._net(), loss=self.loss, weight=_tensor(weight),
                              emphasis=_tensor(emphasis), watch=bool(self.verbose))

    def _weights(self, sample_weight: Any, X: Any) -> np.ndarray | None:
        """Weights (n,) float64, or None. Raises ValueError where one is negative or all are zero."""
        if sample_weight is None:
            return None
        weight: np.ndarray = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not weight.any():
            raise ValueError("All sample weights are zero; at least one row must count.")
        return weight


class NetworkClassifier(ClassifierMixin, _Supervised):
    """A classifier on any net, rule and optimizer of chainrule: (n, ...) -> classes (n,).

    `net` is a name with options such as `mlp:hidden=100`, a `torch.nn.Module` (a copy is trained), or a function of (input shape,
    outputs) that makes one; `loss` a name or a function of (outputs, targets). The others are the options of `chainrule train`; None has
    one chosen. A frame with words or missing values is encoded, anything else standardised, from the training rows alone.

    Up to 1000 rows are one batch, in double precision and without validation: then a weight of 2 is the same as a row given twice. With
    more, or with `patience`, a tenth (`validation_fraction`) is set aside by class, and the weights kept are those that did best on it.
    """

    classes_: np.ndarray

    def __init__(self, net: NetLike = None, *, rule: str | None = None, loss: LossLike = None, optimizer: str | None = None,
                 schedule: str | None = None, init: str | None = None, epochs: int | None = None, batch: int | None = None,
                 patience: int | None = None, validation_fraction: float | None = None,
                 class_weight: Mapping[Any, float] | str | None = None, plan: str = Options.plan,
                 precision: str = Options.precision, device: str = Options.device, threads: int | None = None, random_state: Any = None,
                 verbose: bool = False):
        super().__init__(net, rule=rule, loss=loss, optimizer=optimizer, schedule=schedule, init=init, epochs=epochs, batch=batch,
                         patience=patience, validation_fraction=validation_fraction, plan=plan, precision=precision, device=device,
                         threads=threads, random_state=random_state, verbose=verbose)
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NetworkClassifier:
        """Learn from scratch. Rows of weight 0 count as absent. Raises ValueError for what does not fit together."""
        with _value_errors():
            inputs, labels = self._read_both(X, y, reset=True)
            check_classification_targets(labels)
            labels = column_or_1d(labels, warn=True)
            weight = self._weights(sample_weight, X)
            self.classes_ = np.unique(labels if weight is None else labels[weight > 0])
            if len(self.classes_) < 2:
                raise ValueError(f"NetworkClassifier needs at least 2 classes; got 1 class, {self.classes_[0]!r}, in {len(labels)} rows.")
            source, codes = self._source(inputs, labels)
            self._fit(source, weight, self._emphasis(codes, weight))
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> NetworkClassifier:
        """One pass over these rows, going on from the calls before, optimizer included. The first call names all `classes`, and what
        it sees scales the inputs of all later ones; there is no validation. Raises ValueError for classes that were not named."""
        with _value_errors():
            first = not hasattr(self, "learned_")
            if self.class_weight == "balanced":
                raise ValueError("class_weight='balanced' needs all rows at once; with partial_fit give a weight for each class.")
            if first and classes is None:
                raise ValueError("The first call of partial_fit needs classes, all that will ever come: partial_fit(X, y, classes=...).")
            inputs, labels = self._read_both(X, y, reset=first)
            check_classification_targets(labels)
            labels = column_or_1d(labels, warn=True)
            named = self.classes_ if classes is None else np.unique(classes)
            if not first and not np.array_equal(named, self.classes_):
                raise ValueError(f"classes={named!r} is not what the calls before learned, {self.classes_!r}.")
            self.classes_ = named
            if not np.isin(labels, named).all():
                raise ValueError(f"y holds {np.setdiff1d(labels, named)!r}, which classes={named!r} does not name.")
            source, codes = self._source(inputs, labels)
            self._go_on(source, self._weights(sample_weight, X), self._emphasis(codes, None))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, classes), in the order of `classes_`."""
        check_is_fitted(self)
        with _value_errors():
            return self.learned_.probabilities(self._read(X, reset=False)).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each row, (n,)."""
        likeliest = self.predict_proba(X).argmax(1)
        labels: np.ndarray = self.classes_[likeliest]
        return labels

    def _source(self, inputs: Any, labels: np.ndarray) -> tuple[Source, np.ndarray]:
        """The source, and the codes (n,) of the labels; a label that only rows of weight 0 have gets any code."""
        codes = np.minimum(np.searchsorted(self.classes_, labels), len(self.classes_) - 1)
        return _source(inputs, torch.from_numpy(codes), "class", tuple(str(c) for c in self.classes_.tolist())), codes

    def _emphasis(self, codes: np.ndarray, weight: np.ndarray | None) -> np.ndarray | None:
        """The weight of each row's class, (n,)."""
        if self.class_weight is None:
            return None
        if self.class_weight == "balanced":
            mass = np.bincount(codes, weights=weight, minlength=len(self.classes_))
            weights: np.ndarray | None = (mass.sum() / (len(mass) * mass))[codes]
            return weights
        balanced: np.ndarray | None = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_[codes])[codes]
        return balanced


class NetworkRegressor(RegressorMixin, _Supervised):
    """A regressor on any net, rule and optimizer of chainrule: (n, ...) -> values (n,), or (n, k) for several targets.

    Parameters and defaults are those of NetworkClassifier; the net learns standardised targets, predictions are in their own units.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NetworkRegressor:
        """Learn from scratch. Rows of weight 0 count as absent. Raises ValueError for what does not fit together."""
        with _value_errors():
            source = self._source(X, y, reset=True)
            self._fit(source, self._weights(sample_weight, X), None)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> NetworkRegressor:
        """One pass over these rows, going on from the calls before, optimizer included. What the first call sees scales inputs and
        targets of all later ones; there is no validation."""
        with _value_errors():
            source = self._source(X, y, reset=not hasattr(self, "learned_"))
            self._go_on(source, self._weights(sample_weight, X), None)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predictions in the units and the shape of the targets."""
        check_is_fitted(self)
        with _value_errors():
            values = self.learned_.values(self._read(X, reset=False)).numpy()
        return values[:, 0] if self._flat else values

    def _source(self, X: Any, y: Any, reset: bool) -> Source:
        inputs, values = self._read_both(X, y, reset, y_numeric=True, multi_output=True)
        if values.ndim == 2 and values.shape[1] == 1:
            values = column_or_1d(values, warn=True)
        self._flat = values.ndim == 1
        return _source(inputs, torch.from_numpy(np.array(values, dtype=np.float64)).reshape(len(values), -1), "real")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class _Unsupervised(_Network):
    loss: LossLike = None

    def fit(self, X: Any, y: None = None) -> Any:
        """Learn from scratch; y is ignored. Raises ValueError for what does not fit together."""
        with _value_errors():
            source = _source(self._read(X, reset=True), None, "none")
            if len(source) < 2:
                raise ValueError(f"{type(self).__name__} got 1 sample; how rows are spread shows in 2 or more.")
            self.learned_ = learn(source, self._options(), net=self._net(), validation=0.0, watch=bool(self.verbose))
            self._after(self.learned_)
        return self

    def _after(self, learned: Learned) -> None:
        """What a kind of estimator must know before it can be used. Raises InputError where the net cannot serve it."""
        raise NotImplementedError


class NetworkTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, _Unsupervised):
    """Codes that a net learned without targets: (n, ...) -> (n, codes). Without `net`, an rbm and its hidden probabilities."""

    _default_net = "rbm"

    def transform(self, X: Any) -> np.ndarray:
        """The codes of rows, float64 (n, codes)."""
        check_is_fitted(self)
        with _value_errors():
            return self.learned_.outputs(self._read(X, reset=False), self._codes(self.learned_)).numpy()

    def _after(self, learned: Learned) -> None:
        read = self._codes(learned)
        with torch.no_grad():
            self._n_features_out = read(learned.ready(torch.zeros(1, *learned.encoder.inputs.input_shape))).shape[1]

    @staticmethod
    def _codes(learned: Learned) -> Any:
        if not isinstance(learned.module, HasCodes):
            raise InputError(f"NetworkTransformer needs a net with codes; {type(learned.module).__name__} has no method encode. Use "
                             "net='rbm', 'autoencoder' or 'mixture'.")
        return learned.module.encode


class NetworkGenerator(_Unsupervised):
    """New rows from a net that learned how they are spread. Without `net`, a mixture of Gaussians; `gan` and `rbm` serve as well."""

    _default_net = "mixture"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = False
        return tags

    def sample(self, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """New rows (n_samples, ...) in the units of the data; `random_state` as in scikit-learn. Nothing outside notices the draws."""
        check_is_fitted(self)
        learned = self.learned_
        with Aside(int(check_random_state(random_state).randint(SEEDS)), next(learned.module.parameters()).device):
            assert isinstance(learned.module, Samples)
            drawn = learned.module.sample(n_samples).cpu().double()
        return learned.raw(drawn).numpy()

    def _after(self, learned: Learned) -> None:
        if not isinstance(learned.module, Samples):
            raise InputError(f"NetworkGenerator needs a net that can be sampled; {type(learned.module).__name__} has no method sample. "
                             "Use net='mixture', 'gan' or 'rbm'.")
        if learned.encoder.inputs.features is not None:
            raise InputError("NetworkGenerator needs columns of numbers without gaps; X has words or missing values. Encode these columns, "
                             "or drop them.")


@contextmanager
def _value_errors() -> Iterator[None]:
    """Our errors as scikit-learn expects them."""
    try:
        yield
    except InputError as error:
        raise ValueError(str(error)) from error


def _mixed(frame: Any) -> bool:
    """Whether a frame has columns that are not plain numbers, or lacks values."""
    import narwhals as nw

    if getattr(frame, "ndim", 2) != 2:
        return False

    def plain(column: Any) -> bool:
        numbers = column.dtype.is_numeric() or column.dtype == nw.Boolean
        return numbers and column.null_count() == 0 and not (column.dtype.is_float() and bool(column.is_nan().any()))

    return not all(map(plain, nw.from_native(frame, eager_only=True).iter_columns()))


def _source(inputs: Any, targets: Tensor | None, kind: TargetKind, classes: tuple[str, ...] = ()) -> Source:
    return Source("the data", inputs, targets, kind, {"kind": "memory"}, "", classes)


def _tensor(values: np.ndarray | None) -> Tensor | None:
    return None if values is None else torch.from_numpy(np.asarray(values, dtype=np.float64))
