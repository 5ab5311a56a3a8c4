"""Anderson's proposals: exact on linear maps, and the same to the last digit."""

from __future__ import annotations

import torch

from mfa_sklearn.mixture._em.acceleration import Anderson


def proposals(n: int = 6, size: int = 75) -> list[torch.Tensor]:
    """Of a linear map with many slow directions."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0]
    slow = basis @ torch.diag(torch.linspace(0.5, 0.99, size, dtype=torch.float64)) @ basis.T
    anderson, found = Anderson(size), [torch.ones(size, dtype=torch.float64)]
    for _ in range(n):
        found.append(anderson.propose(found[-1], slow @ found[-1]))
    return found


def test_proposals_repeat_to_the_last_digit():
    """LAPACK's driver of least squares by default did not: a few calls in a hundred differed by rounding."""
    first = proposals()
    for _ in range(300):
        assert all(torch.equal(a, b) for a, b in zip(first, proposals(), strict=True))


def test_a_linear_map_of_few_directions_is_solved():
    """With as many residuals as the map has rates the fixed point is found, here the origin."""
    rates = torch.tensor([0.9, 0.95, 0.99], dtype=torch.float64)
    anderson, point = Anderson(3), torch.ones(3, dtype=torch.float64)
    for _ in range(5):
        point = anderson.propose(point, rates * point)
    assert float(point.abs().max()) < 1e-6
    assert float((rates**5).min()) > 0.5  # plain steps are nowhere near
