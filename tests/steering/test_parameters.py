"""Parameters are read from whatever has them, and refused by name from what has not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from move_cases import as_mfa, make_params, rows

from mfa_sklearn import MFA
from mfa_sklearn.steering import transport, transport_map
from mfa_sklearn.steering._parameters import read_params


def test_parameters_come_from_a_mixture_from_arrays_or_as_they_are() -> None:
    params = make_params()
    arrays = (params.log_weights.exp(), params.means, params.loadings, params.noise_variance[0])
    fitted = MFA.from_params(*(array.numpy() for array in arrays))
    for given in (fitted, as_mfa(params)):
        for found, expected in zip(read_params(given), params, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert read_params(params) is params


@pytest.mark.parametrize("given", [MFA(3, 2), SimpleNamespace(means_=np.zeros((1, 2))), None])
def test_what_has_no_parameters_is_refused_by_what_it_lacks(given: object) -> None:
    with pytest.raises(TypeError, match=rf"{type(given).__name__} has no weights_.*give a fitted MFA"):
        read_params(given)  # type: ignore[arg-type]


def test_a_transport_map_is_made_of_a_fitted_mixture() -> None:
    params, x = make_params(), rows()
    routes = [transport_map(mixture, 0, 2) for mixture in (params, as_mfa(params))]
    moved = [transport(x, route, 0.7).numpy() for route in routes]
    np.testing.assert_allclose(moved[0], moved[1], rtol=1e-12)


@pytest.mark.parametrize(("source", "target"), [(0, 99), (-1, 0)])
def test_a_transport_map_between_components_that_are_not_there_is_refused(source: int, target: int) -> None:
    with pytest.raises(ValueError, match="is out of range; this mixture has components 0 to"):
        transport_map(as_mfa(make_params()), source, target)
