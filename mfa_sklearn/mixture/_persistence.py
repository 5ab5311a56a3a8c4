"""Fitted mixtures from and to numbers and files, without pickle. Part of the estimator `MFA`.

Of the names in a file, those that end in an underscore are learned attributes, the others constructor parameters.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from .. import __version__
from .._base.devices import plain_array, to_numpy
from .._base.files import as_path
from .._base.portable import portable_source
from .._base.sklearn_private import validate_params
from .._base.stored import check_unchanged
from ._fitted import FittedMixture
from ._model.params import check_params
from ._model.rotation import rotate
from ._saving.folder import CONFIG_NAME, read_folder, write_folder
from ._saving.mistaken import check_mistaken
from ._saving.reference import read_reference
from ._saving.values import LEARNED, check_agreement, check_learned, current_params, is_known
from ._validation import factor_counts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class PersistenceMethods(FittedMixture):
    """Ways to a fitted mixture that are no fit, and to files that hold one."""

    @classmethod
    def from_params(
        cls,
        weights: ArrayLike,
        means: ArrayLike,
        loadings: ArrayLike,
        noise_variance: ArrayLike,
        *,
        source: dict[str, Any] | None = None,
        **params: Any,
    ) -> Self:
        """A fitted estimator with given parameters.

        Loadings are kept as they are given, unless a `rotation` is asked for.

        Parameters
        ----------
        weights : array-like of shape (K,)
            Not negative; their sum is one.
        means : array-like of shape (K, D)
        loadings : array-like of shape (K, D, q)
            Exactly the same for all of several components, they are "common" loadings.
        noise_variance : array-like of shape (D,), or (K, D) for noise per component
            Positive. Decides the constructor parameter `noise`.
        source : dict, optional
            What the rows are that the mixture is of, as `source_` has it.
        **params
            Other constructor parameters.

        Returns
        -------
        MFA
            Fitted, but without a history: no ``lower_bound_``, and ``n_iter_`` and ``n_samples_seen_`` are 0.

        Raises
        ------
        ValueError
            If shapes do not fit together, or a value is out of range.

        Examples
        --------
        >>> import numpy as np
        >>> from mfa_sklearn import MFA
        >>> mfa = MFA.from_params([0.5, 0.5], [[0.0, 0.0], [9.0, 9.0]], np.ones((2, 2, 1)), [1.0, 1.0])
        >>> mfa.predict([[1.0, 2.0], [8.0, 8.0]]).tolist()
        [0, 1]
        """
        given = {"weights": weights, "means": means, "loadings": loadings, "noise_variance": noise_variance}
        arrays = {name: np.array(plain_array(value), dtype=np.float64) for name, value in given.items()}
        check_params(**arrays)
        arrays["weights"] /= arrays["weights"].sum()
        estimator = cls(**_params_for(arrays, params))
        validate_params(estimator)
        n_components, n_features, n_factors = arrays["loadings"].shape
        sizes = {"n_components_": n_components, "n_factors_": n_factors, "n_features_in_": n_features}
        history = {
            "lower_bounds_": [],
            "history_": {"temperature": [], "step": []},
            "n_iter_": 0,
            "converged_": False,
            "n_reseeded_": 0,
            "noise_prior_": 0.0,
            "n_samples_seen_": 0,
            "component_tokens_": None,
        }
        learned = {f"{name}_": value for name, value in arrays.items()}
        at_floor = {"heywood_": np.zeros_like(arrays["noise_variance"], dtype=bool)}
        _set_learned(estimator, learned | sizes | history | at_floor | {"source_": source})
        _rotate_if_asked(estimator)
        return estimator

    @classmethod
    def from_reference_checkpoint(
        cls, path: str | os.PathLike, *, source: dict[str, Any] | None = None, **params: Any
    ) -> Self:
        """A fitted estimator from a checkpoint of the reference implementation of arXiv 2602.02464.

        Only tensors and plain values are read from the file, never other objects. Components and factors keep their
        numbers and signs. An oblique rotation that the reference was set to show factors in is left out; it changes no
        density.

        Parameters
        ----------
        path : str or path
            File written by its ``save_mfa``: ``torch.save`` of ``{"state_dict": ..., "meta": ...}``.
        source : dict, optional
            What the rows are that the mixture is of; the checkpoint does not say.
        **params
            Other constructor parameters, such as `device` or `rotation`.

        Raises
        ------
        ValueError
            If the file is no such checkpoint.

        Examples
        --------
        >>> import os, tempfile, torch
        >>> from mfa_sklearn import MFA
        >>> state = {"pi_logits": torch.zeros(2), "mu": torch.tensor([[0.0, 0.0], [9.0, 9.0]])}
        >>> state |= {"dir_raw": torch.ones(2, 2, 1), "scale_rho": torch.zeros(2, 1), "psi_rho": torch.zeros(2)}
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     path = os.path.join(directory, "mfa.pt")
        ...     torch.save({"state_dict": state, "meta": {"eps_floor": 1e-5}}, path)
        ...     mfa = MFA.from_reference_checkpoint(path)
        >>> mfa.weights_, mfa.loadings_[0, :, 0].round(3)
        (array([0.5, 0.5]), array([0.49, 0.49]))
        """
        return cls.from_params(*read_reference(path), source=source, **params)

    def save_pretrained(self, directory: str | os.PathLike, *, overwrite: bool = True) -> None:
        """Write the fitted mixture into a folder as safetensors and JSON.

        Kept are constructor parameters, learned attributes, ``source_`` (model, layer, site, processing and so on of
        the activations) and versions. A parameter that is neither plain nor an array (an estimator as `init`, a
        generator as `random_state`) is not; the loaded mixture has its default. Nor is what `partial_fit` remembers
        of its stream: averages start anew.

        Parameters
        ----------
        directory : str or path
            Made if it does not exist.
        overwrite : bool, default=True
            Whether a mixture saved there before is replaced, as where the same one is saved again while it learns on.
            Whenever the process ends, the folder holds the old mixture or the new one.

        Raises
        ------
        FileExistsError
            If the folder holds something other than a saved mixture, or one that is not to be overwritten.
        ValueError
            If a constructor parameter was changed after the fit and is not that of the fitted arrays.
        OSError
            If another run is writing there, or there is no room or right to write.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> from mfa_sklearn import MFA
        >>> X = np.random.default_rng(0).standard_normal((60, 3))
        >>> mfa = MFA(n_components=2, random_state=0, tol=0, max_iter=5).fit(X)
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     mfa.save_pretrained(directory)
        ...     loaded = MFA.from_pretrained(directory)
        >>> np.allclose(loaded.score_samples(X), mfa.score_samples(X))
        True
        """
        check_is_fitted(self)
        write_folder(as_path("directory", directory), *_split(self), overwrite)

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike, device: str | torch.device = "auto") -> Self:
        """A mixture that `save_pretrained` wrote.

        Parameters
        ----------
        directory : str or path
        device : str or torch.device, default="auto"
            Where the mixture is to compute from now on.

        Raises
        ------
        TypeError
            If `directory` is no path.
        FileNotFoundError, NotADirectoryError
            If a file is missing, or `directory` is one.
        ValueError
            If a file is damaged or was changed, is not one of a saved mixture, says what no mixture can be, or was
            written by a later version.

        Examples
        --------
        >>> import tempfile
        >>> from mfa_sklearn import MFA
        >>> mfa = MFA.from_params([1.0], [[0.0, 2.0]], [[[1.0], [1.0]]], [0.5, 0.5], source={"layer": 4})
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     mfa.save_pretrained(directory)
        ...     loaded = MFA.from_pretrained(directory)
        >>> loaded.source_, loaded.means_
        ({'layer': 4}, array([[0., 2.]]))
        """
        folder = check_mistaken(directory)
        values, config = read_folder(folder)
        learned = {name: value for name, value in values.items() if name.endswith("_")}
        params = current_params({name: value for name, value in values.items() if name not in learned})
        try:
            check_learned(learned)
            estimator = cls(**params | {"device": device})
            validate_params(estimator)
            check_agreement(vars(estimator), learned)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"{folder / CONFIG_NAME} does not describe a mixture that version {__version__} of mfa-sklearn can "
                f"read (it was written by {config.get('versions')}): {error}"
            ) from error
        check_unchanged(folder / CONFIG_NAME, config)
        _set_learned(estimator, learned)
        return estimator


def _params_for(arrays: dict[str, np.ndarray], params: dict[str, Any]) -> dict[str, Any]:
    """Constructor parameters that say what the arrays are, joined to those given; contradictions are refused."""
    loadings, noise = arrays["loadings"], arrays["noise_variance"]
    found = {
        "n_components": loadings.shape[0],
        "n_factors": loadings.shape[2],
        "noise": "shared" if noise.ndim == 1 else "component",
        "loading_type": "common"
        if len(loadings) > 1 and loadings.size and (loadings == loadings[0]).all()
        else "component",
    }
    for name in found.keys() & params.keys():
        # One number of factors per component is that of its columns that are not zero.
        given = params[name] if np.ndim(params[name]) == 0 else np.max(params[name])
        if given != found[name]:
            raise ValueError(f"{name}={params[name]!r}, but the arrays given have {name}={found[name]!r}")
    ranks = factor_counts(params.get("n_factors", found["n_factors"]), len(loadings))
    if any(loadings[k, :, rank:].any() for k, rank in enumerate(ranks)):
        raise ValueError(f"n_factors={params['n_factors']!r}, but a component's loadings go on beyond its factors")
    if params.get("noise_form") == "isotropic" and not (noise == noise[..., :1]).all():
        raise ValueError("noise_form='isotropic', but the noise variances given differ between features")
    return found | params


def _set_learned(estimator: Any, learned: dict[str, Any]) -> None:
    for name, value in learned.items():
        if name == "feature_names_in_":
            value = np.array(value, dtype=object)
        if name == "component_tokens_" and value:
            value = {int(k): tokens for k, tokens in value.items()}  # JSON has names only
        setattr(estimator, name, value)


def _rotate_if_asked(estimator: Any) -> None:
    if estimator.rotation is None:
        return
    params, common = estimator._params(), estimator.loading_type == "common"
    loadings = rotate(params.loadings, params.noise_variance, estimator.rotation, common)
    estimator.loadings_ = to_numpy(loadings)


def _split(estimator: Any) -> tuple[dict[str, np.ndarray], dict[str, Any], list[str]]:
    """Arrays of numbers, plain values, and the names of what is neither or not a mixture's."""
    arrays, plain, left_out = {}, {}, []
    learned = {name: value for name, value in vars(estimator).items() if LEARNED.fullmatch(name)}
    # The processes that fitted it are no part of a mixture, and whoever opens it has others, or none.
    for name, value in {**estimator.get_params(deep=False), "distributed": False, **learned}.items():
        # Where a fit kept its state is a place on this machine.
        if (name in learned and not is_known(name)) or (name == "checkpoint" and value is not None):
            left_out.append(name)
            continue
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            arrays[name] = np.ascontiguousarray(value)
            continue
        try:
            plain[name] = _plain(portable_source(value) if name == "source_" and value else value)
        except TypeError:
            if name in learned:
                raise TypeError(f"{name} cannot be saved: {value!r} is neither plain nor an array of numbers") from None
            left_out.append(name)
    kept = {name: value for name, value in {**arrays, **plain}.items() if is_known(name)}
    try:
        check_learned(kept)
        check_agreement(vars(estimator), kept)
    except ValueError as error:
        raise ValueError(f"{error}; set that back, or fit the mixture again, to save it") from error
    return arrays, plain, left_out


def _plain(value: Any) -> Any:
    """What JSON holds of a value; a device and a precision are known by their names."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (torch.dtype, torch.device)):
        return str(value).removeprefix("torch.")
    if isinstance(value, (type, np.dtype)):
        return np.dtype(value).name
    raise TypeError(f"{value!r} is not plain")
