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


def textbook(points: list[torch.Tensor], images: list[torch.Tensor], memory: int) -> torch.Tensor:
    """Walker & Ni's formula from all points and images, by a solver of its own."""
    residuals = [image - point for point, image in zip(points, images, strict=True)]
    last = range(max(1, len(points) - memory), len(points))
    moves = torch.stack([points[i] - points[i - 1] for i in last], 1)
    changes = torch.stack([residuals[i] - residuals[i - 1] for i in last], 1)
    gamma = torch.linalg.lstsq(changes, residuals[-1][:, None]).solution[:, 0]
    return images[-1] - (moves + changes) @ gamma


def test_proposals_are_the_textbooks_also_after_old_differences_have_gone():
    generator = torch.Generator().manual_seed(1)
    anderson, points, images = Anderson(40), [torch.ones(40, dtype=torch.float64)], []
    for _ in range(14):
        # No map of few rates, for which the least squares would have no one solution.
        images.append(torch.randn(40, generator=generator, dtype=torch.float64))
        proposed = anderson.propose(points[-1], images[-1])
        if len(points) > 1:
            assert torch.allclose(proposed, textbook(points, images, anderson.memory), atol=1e-7)
        points.append(torch.randn(40, generator=generator, dtype=torch.float64))
    assert anderson.memory == 10


def test_what_is_restored_goes_on_to_the_last_digit():
    """Also of a state told before a proposal, restored after it: so a fit that ends inside a step is kept."""
    generator = torch.Generator().manual_seed(2)
    pairs = torch.randn(30, 2, 30, generator=generator, dtype=torch.float64)
    anderson = Anderson(30)
    for number, pair in enumerate(pairs):
        state = anderson.state()
        expected = anderson.propose(*pair)
        restored = Anderson(30)
        restored.restore(state)
        assert torch.equal(restored.propose(*pair), expected)
        following = pairs[(number + 1) % len(pairs)]
        went_on = Anderson(30)
        went_on.restore(anderson.state())
        assert torch.equal(restored.propose(*following), went_on.propose(*following))
