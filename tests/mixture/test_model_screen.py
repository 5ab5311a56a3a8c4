"""Screens: bounds that hold, and pairs that are those of a comparison with all components."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from mixture_oracles import STRUCTURES, dense_log_joint, random_params, random_rows
from precision_cases import long_mixture, rows_near, wide_log_joint

from mfa_sklearn.mixture._model import screen
from mfa_sklearn.mixture._model.density import prepare
from mfa_sklearn.mixture._model.pairs import compare_with_all, normalize
from mfa_sklearn.mixture._model.screen import Screen, best_search, directions

SIZE = (70, 12, 2)


def problem(name, apart=1.0, n_rows=400):
    """A mixture, and rows about its components."""
    params = random_params(STRUCTURES[name], SIZE)
    params = params._replace(means=apart * params.means)
    return params, torch.as_tensor(random_rows(params, n_rows))


@pytest.mark.parametrize("n_directions", [1, 3, 12])
@pytest.mark.parametrize("name", STRUCTURES)
def test_bounds_are_no_less_than_the_densities(name, n_directions):
    params, X = problem(name)
    density = prepare(params)
    arbitrary = torch.as_tensor(random_rows(params, n_directions)).T
    for chosen in (directions(density)[:, :n_directions], arbitrary):
        bound, error = Screen(density, chosen).bounds(X)
        exact = torch.as_tensor(dense_log_joint(params, X.numpy()))
        assert (bound + error >= exact - 1e-9 * exact.abs()).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("apart", [0.5, 4.0])
@pytest.mark.parametrize("name", STRUCTURES)
def test_pairs_are_those_of_a_comparison_with_all(name, apart, dtype, monkeypatch):
    monkeypatch.setattr(screen, "_BOUND_BYTES", 70 * 8 * 90)  # several parts
    params, X = problem(name, apart)
    density, rows = prepare(params, dtype), X.to(dtype)
    expected, found = compare_with_all(density, rows), Screen(density, directions(density)[:, :4])(rows)
    assert (found.components.diff() >= 0).all()
    assert found.counts == torch.bincount(found.components, minlength=70).tolist()
    dense = torch.zeros(2, len(rows), 70, dtype=dtype)
    for n, pairs in enumerate((expected, found)):
        dense[n, pairs.rows, pairs.components] = normalize(pairs, len(rows))[0]
    # Log densities of tens of nats, rounded in single precision, differ by some 1e-6 with the order of their sums.
    torch.testing.assert_close(dense[1], dense[0], rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-12)
    torch.testing.assert_close(normalize(found, len(rows))[1], normalize(expected, len(rows))[1])


def test_a_screen_is_chosen_where_it_saves_work():
    far, near = (prepare(problem("UUU", apart)[0]) for apart in (30.0, 0.0))
    X = problem("UUU", 30.0)[1]
    assert isinstance(best_search(far, X, 10**6), Screen)
    holes = X.clone()
    holes[::2, 3] = torch.nan
    assert isinstance(best_search(far, holes, 10**6), Screen)
    for density, rows, n_rows in ((near, X, 10**6), (far, X, 10), (far, holes[::2], 10**6)):
        search = best_search(density, rows, n_rows)
        assert isinstance(search, partial)
        assert search.func is compare_with_all


@pytest.mark.parametrize("noise", ["shared", "component"])
@pytest.mark.parametrize("length", [1e3, 3e4, 1e6])
def test_a_screen_misses_no_component_however_long(length, noise):
    mfa = long_mixture(length, 40, 70, noise)
    X = rows_near(mfa, 60, np.float32)
    expected, rows = torch.tensor(wide_log_joint(mfa, X).astype(float)), torch.tensor(X)
    density = prepare(mfa._params(), torch.float32)
    for n_directions in (4, 13):
        screen = Screen(density, directions(density)[:, :n_directions])
        bound, error = screen.bounds(rows)
        assert (bound.double() + error.double() >= expected - 1e-3).all()
        pairs = screen(rows)
        found = torch.zeros(expected.shape, dtype=torch.bool)
        found[pairs.rows, pairs.components] = True
        assert found[expected >= expected.amax(1, keepdim=True) - 10].all()
