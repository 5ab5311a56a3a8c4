"""Fitted mixtures from and to numbers and files, without pickle. Part of the estimator `MFA`.

A saved mixture is a folder of two files: ``model.safetensors`` holds the arrays, ``config.json`` everything else, the
checksum of the arrays' file included, so that files that do not belong together are noticed. Names that end in an
underscore are learned attributes, the others constructor parameters. Both are written under another name first.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, Self

import numpy as np
import safetensors.numpy
import sklearn
import torch
from safetensors import SafetensorError
from sklearn.utils.validation import check_is_fitted

from .. import __version__
from ._arrays import to_numpy
from ._reference import read_reference
from ._rotation import rotate

FORMAT = "mfa-sklearn.MFA"
FORMAT_VERSION = 1
CONFIG_NAME = "config.json"
ARRAYS_NAME = "model.safetensors"

_ARRAYS = {"weights": (1,), "means": (2,), "loadings": (3,), "noise_variance": (1, 2)}
_LEARNED = re.compile(r"[a-z][a-z0-9_]*[a-z0-9]_")
_WRITE_AGAIN = "write it again with save_pretrained, or restore it from a copy"


class PersistenceMethods:
    """Ways to a fitted mixture that are no fit, and to files that hold one."""

    _validate_params: Any

    @classmethod
    def from_params(
        cls,
        weights: Any,
        means: Any,
        loadings: Any,
        noise_variance: Any,
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
            Fitted, but without a history: no ``lower_bound_``, and ``n_iter_`` is 0.

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
        arrays = {name: np.array(value, dtype=np.float64) for name, value in given.items()}
        _check_arrays(arrays)
        arrays["weights"] /= arrays["weights"].sum()
        estimator = cls(**_params_for(arrays, params))
        estimator._validate_params()
        n_components, n_features, n_factors = arrays["loadings"].shape
        sizes = {"n_components_": n_components, "n_factors_": n_factors, "n_features_in_": n_features}
        history = {"lower_bounds_": [], "n_iter_": 0, "converged_": False, "n_reseeded_": 0}
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
        """
        return cls.from_params(*read_reference(path), source=source, **params)

    def save_pretrained(self, directory: str | os.PathLike) -> None:
        """Write the fitted mixture into a folder as safetensors and JSON.

        Kept are constructor parameters, learned attributes, ``source_`` (model, layer, site, processing and so on of
        the activations) and versions. A parameter that is neither plain nor an array (an estimator as `init`, a
        generator as `random_state`) is not; the loaded mixture has its default. Nor is what `partial_fit` remembers
        of its stream: averages start anew.

        Parameters
        ----------
        directory : str or path
            Made if it does not exist. A mixture saved there before is replaced.

        Raises
        ------
        FileExistsError
            If the folder holds something other than a saved mixture.

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
        folder = Path(directory)
        _refuse_foreign(folder)
        arrays, plain, left_out = _split(self)
        content = safetensors.numpy.save(arrays, metadata={"format": FORMAT})
        config = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "versions": {
                "mfa-sklearn": __version__,
                "numpy": np.__version__,
                "scikit-learn": sklearn.__version__,
                "torch": str(torch.__version__),
            },
            "arrays": {"file": ARRAYS_NAME, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()},
            "left_out": left_out,
            "values": plain,
        }
        text = json.dumps(config, indent=2, allow_nan=False)
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / ARRAYS_NAME, content)
        _replace(folder / CONFIG_NAME, text.encode())

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike, device: Any = "auto") -> Self:
        """A mixture that `save_pretrained` wrote.

        Parameters
        ----------
        directory : str or path
        device : str or torch.device, default="auto"
            Where the mixture is to compute from now on.

        Raises
        ------
        FileNotFoundError
            If a file is missing.
        ValueError
            If a file is damaged, is not one of a saved mixture, or was written by a later version.
        """
        folder = Path(directory)
        config = _read_config(folder / CONFIG_NAME)
        values = _read_arrays(folder / ARRAYS_NAME, config) | config["values"]
        learned = {name: value for name, value in values.items() if name.endswith("_")}
        params = {name: value for name, value in values.items() if name not in learned}
        try:
            _check_arrays({name: learned.get(f"{name}_") for name in _ARRAYS})
            estimator = cls(**params | {"device": device})
            _set_learned(estimator, learned)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{folder} does not hold a mixture that version {__version__} of mfa-sklearn can read (it was written "
                f"by {config.get('versions')}): {error}"
            ) from error
        return estimator


def _check_arrays(arrays: dict[str, Any]) -> None:
    """Refuse parameters whose shapes do not fit together or whose values are out of range."""
    for name, n_dims in _ARRAYS.items():
        value = arrays[name]
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.ndim not in n_dims:
            raise ValueError(f"{name} must be an array of {n_dims} dimensions, got shape {np.shape(value)}")
        if not np.isfinite(value).all():
            raise ValueError(f"{name} holds NaN or infinity")
    weights, means, loadings, noise = (arrays[name] for name in _ARRAYS)
    n_components, n_features = means.shape
    if weights.shape != (n_components,) or loadings.shape[:2] != means.shape:
        raise ValueError(
            f"shapes do not fit together: weights {weights.shape}, means {means.shape}, loadings {loadings.shape}; "
            "expected (K,), (K, D) and (K, D, q)"
        )
    if noise.shape not in ((n_features,), means.shape):
        raise ValueError(f"noise_variance has shape {noise.shape}; expected ({n_features},) or {means.shape}")
    if (weights < 0).any() or abs(weights.sum() - 1) > 1e-4:
        raise ValueError(
            f"weights must not be negative and sum to one; got {weights.min()} and a sum of {weights.sum()}"
        )
    if not (noise > 0).all():
        raise ValueError(f"noise_variance must be positive; the least is {noise.min()}")


def _params_for(arrays: dict[str, np.ndarray], params: dict[str, Any]) -> dict[str, Any]:
    """Constructor parameters that say what the arrays are, joined to those given; contradictions are refused."""
    loadings, noise = arrays["loadings"], arrays["noise_variance"]
    found = {
        "n_components": loadings.shape[0],
        "n_factors": loadings.shape[2],
        "noise": "shared" if noise.ndim == 1 else "component",
        "loadings": "common"
        if len(loadings) > 1 and loadings.size and (loadings == loadings[0]).all()
        else "component",
    }
    for name in found.keys() & params.keys():
        # One number of factors per component is that of its columns that are not zero.
        given = params[name] if np.ndim(params[name]) == 0 else np.max(params[name])
        if given != found[name]:
            raise ValueError(f"{name}={params[name]!r}, but the arrays given have {name}={found[name]!r}")
    ranks = np.broadcast_to(params.get("n_factors", found["n_factors"]), len(loadings))
    if any(loadings[k, :, rank:].any() for k, rank in enumerate(ranks)):
        raise ValueError(f"n_factors={params['n_factors']!r}, but a component's loadings go on beyond its factors")
    if params.get("noise_form") == "isotropic" and not (noise == noise[..., :1]).all():
        raise ValueError("noise_form='isotropic', but the noise variances given differ between features")
    return found | params


def _set_learned(estimator: Any, learned: dict[str, Any]) -> None:
    for name, value in learned.items():
        # Names come from a file: nothing but a learned attribute may be set by it.
        if not _LEARNED.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a learned attribute")
        setattr(estimator, name, np.array(value, dtype=object) if name == "feature_names_in_" else value)
    estimator._stream = None


def _rotate_if_asked(estimator: Any) -> None:
    if estimator.rotation is None:
        return
    params, common = estimator._params(), estimator.loadings == "common"
    loadings = rotate(params.loadings, params.noise_variance, estimator.rotation, common)
    estimator.loadings_ = to_numpy(loadings)


def _split(estimator: Any) -> tuple[dict[str, np.ndarray], dict[str, Any], list[str]]:
    """Arrays of numbers, plain values, and the names of parameters that are neither."""
    arrays, plain, left_out = {}, {}, []
    learned = {name: value for name, value in vars(estimator).items() if _LEARNED.fullmatch(name)}
    for name, value in {**estimator.get_params(deep=False), **learned}.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            arrays[name] = np.ascontiguousarray(value)
            continue
        try:
            plain[name] = _plain(value)
        except TypeError:
            if name in learned:
                raise TypeError(f"{name} cannot be saved: {value!r} is neither plain nor an array of numbers") from None
            left_out.append(name)
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


def _refuse_foreign(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; give the name of a folder")
    found = sorted(path.name for path in folder.iterdir())
    if not found:
        return
    try:
        _read_config(folder / CONFIG_NAME)
    except (OSError, ValueError) as error:
        raise FileExistsError(
            f"{folder} holds {found[:3]} and is not a saved mixture ({error}); give a new or an empty folder"
        ) from error


def _replace(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _read_config(path: Path) -> dict[str, Any]:
    content = _read(path)
    try:
        config = json.loads(content)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); {_WRITE_AGAIN}") from error
    seen = config.get("format") if isinstance(config, dict) else type(config).__name__
    if seen != FORMAT:
        raise ValueError(f"{path} is not of a saved mixture: its format is {seen!r}, expected {FORMAT!r}")
    version = config.get("format_version")
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise ValueError(
            f"{path} has format_version {version!r}, but this version ({__version__}) of mfa-sklearn reads up to "
            f"{FORMAT_VERSION}; upgrade mfa-sklearn"
        )
    if not isinstance(config.get("values"), dict) or not isinstance(config.get("arrays"), dict):
        raise ValueError(f"{path} lacks 'values' or 'arrays'; {_WRITE_AGAIN}")
    return config


def _read_arrays(path: Path, config: dict[str, Any]) -> dict[str, np.ndarray]:
    content = _read(path)
    expected = config["arrays"]
    checksum = hashlib.sha256(content).hexdigest()
    if checksum != expected.get("sha256"):
        raise ValueError(
            f"{path} is not the file that {CONFIG_NAME} describes: it has {len(content)} bytes and SHA-256 {checksum}, "
            f"expected {expected.get('bytes')} bytes and {expected.get('sha256')}; {_WRITE_AGAIN}"
        )
    try:
        return safetensors.numpy.load(content)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error}); {_WRITE_AGAIN}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} does not exist; give a folder that save_pretrained wrote") from error
