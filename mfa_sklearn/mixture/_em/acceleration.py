"""Anderson acceleration of the EM map, safeguarded so that the likelihood never falls.

EM is a fixed-point iteration ``theta -> G(theta)`` that converges geometrically, often at a rate near one. From the
last few residuals ``f = G(theta) - theta`` the next point is extrapolated by least squares,

    theta+ = theta + f - (dTheta + dF) gamma,    gamma = argmin |f - dF gamma|^2

(Walker & Ni, "Anderson acceleration for fixed-point iterations", SIAM J. Numer. Anal. 49, 2011; for EM: Henderson &
Varadhan, "Damped Anderson acceleration with restarts", J. Comput. Graph. Stat. 28, 2019). Points are vectors of
unconstrained coordinates - log weights, means, loadings, log noise variances - so every extrapolation is a valid
mixture.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._model.params import MFAParams


def flatten(params: MFAParams) -> Tensor:
    """Unconstrained coordinates of parameters, one vector."""
    return torch.cat(
        [
            params.log_weights,
            params.means.reshape(-1),
            params.loadings.reshape(-1),
            params.noise_variance.log().reshape(-1),
        ]
    )


def unflatten(vector: Tensor, like: MFAParams, floor: Tensor | float) -> MFAParams:
    """Parameters of the shape of `like` from their coordinates; the inverse of `flatten`."""
    weights, means, loadings, noise = vector.split([t.numel() for t in like])
    floor = torch.as_tensor(floor, dtype=vector.dtype, device=vector.device)
    return MFAParams(
        weights.log_softmax(0),
        means.view_as(like.means),
        loadings.view_as(like.loadings),
        torch.maximum(noise.exp().view_as(like.noise_variance), floor),
    )


# Differences kept: ten, or as many as fit this.
_MEMORY_BYTES = 2**28


class Anderson:
    """The memory of the acceleration: differences of recent points and of their residuals."""

    def __init__(self, size: int) -> None:
        self.memory = max(2, min(10, _MEMORY_BYTES // (16 * size)))
        self.restart()

    def restart(self) -> None:
        """Forget all but what comes next."""
        self._point: Tensor | None = None
        self._residual: Tensor | None = None
        self._points: list[Tensor] = []
        self._residuals: list[Tensor] = []

    def state(self) -> dict[str, Any]:
        """What is remembered; no tensor of it is changed later."""
        return {
            "point": self._point,
            "residual": self._residual,
            "points": list(self._points),
            "residuals": list(self._residuals),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Remember that."""
        self._point, self._residual = state["point"], state["residual"]
        self._points, self._residuals = list(state["points"]), list(state["residuals"])

    @property
    def extrapolates(self) -> bool:
        """Whether the last proposal was more than the plain step."""
        return bool(self._residuals)

    def propose(self, point: Tensor, image: Tensor) -> Tensor:
        """The next point, from the current one and its image under the map."""
        residual = image - point
        if self._point is not None and self._residual is not None:
            self._points = [*self._points, point - self._point][-self.memory :]
            self._residuals = [*self._residuals, residual - self._residual][-self.memory :]
        self._point, self._residual = point, residual
        if not self._residuals:
            return image
        moves, changes = torch.stack(self._points, 1), torch.stack(self._residuals, 1)
        gram = changes.T @ changes
        # Nearly parallel differences would make gamma huge; a little damping keeps it to what the data support.
        damping = 1e-10 * gram.diagonal().max() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        # The default driver differs in the last digit from call to call; this one exists on processors only.
        system, right = (gram + damping).cpu(), (changes.T @ residual[:, None]).cpu()
        gamma = torch.linalg.lstsq(system, right, driver="gelsd").solution[:, 0].to(image.device)
        return image - (moves + changes) @ gamma
