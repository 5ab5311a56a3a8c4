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
    """The memory of the acceleration: differences of recent residuals and images.

    Since ``dTheta + dF`` is the difference of two images, the points themselves need not be remembered. Differences
    stay in their place in two tables, so that nothing is copied to multiply them. The tables have a place more than is
    remembered: a new difference takes the one that nobody needs, and a state told before stays what it was.
    """

    def __init__(self, size: int) -> None:
        self.memory = max(2, min(10, _MEMORY_BYTES // (16 * size)))
        self.restart()

    @property
    def n_vectors(self) -> int:
        """How many vectors as long as a point it holds at most."""
        return 2 * (self.memory + 1) + 2

    def restart(self) -> None:
        """Forget all but what comes next."""
        self._last: tuple[Tensor, Tensor] | None = None  # image and residual
        self._images: Tensor | None = None  # (memory + 1, size)
        self._residuals: Tensor | None = None
        self._n = 0  # differences seen

    def state(self) -> dict[str, Any]:
        """What is remembered; it stays as it is until the next proposal but one."""
        image, residual = self._last or (None, None)
        return {
            "n": self._n,
            "image": image,
            "residual": residual,
            "images": self._images,
            "residuals": self._residuals,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Remember that."""
        self._n, image, residual = state["n"], state["image"], state["residual"]
        self._last = None if image is None or residual is None else (image, residual)
        self._images, self._residuals = (
            None if state[name] is None else state[name].clone() for name in ("images", "residuals")
        )

    @property
    def extrapolates(self) -> bool:
        """Whether the last proposal was more than the plain step."""
        return self._n > 0

    def propose(self, point: Tensor, image: Tensor) -> Tensor:
        """The next point, from the current one and its image under the map."""
        residual = image - point
        last, self._last = self._last, (image, residual)
        if last is None:
            return image
        images, changes, held = self._remember(image, residual, last)
        # All products anew and in one go: put together from those of several steps they are no Gram matrix to the last
        # digits, which nearly parallel differences depend on.
        gram = (changes @ changes.T)[held][:, held]
        # Nearly parallel differences would make gamma huge; a little damping keeps it to what the data support.
        damping = 1e-10 * gram.diagonal().max() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        # The default driver differs in the last digit from call to call; this one exists on processors only.
        system, right = (gram + damping).cpu(), (changes @ residual)[held, None].cpu()
        gamma = image.new_zeros(len(changes))
        gamma[held] = torch.linalg.lstsq(system, right, driver="gelsd").solution[:, 0].to(image.device)
        return torch.addmv(image, images.T, gamma, alpha=-1)

    def _remember(self, image: Tensor, residual: Tensor, last: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """The tables of differences with the new one, as far as they are filled, and the places that count (m,)."""
        if self._images is None or self._residuals is None:
            # Two tensors, as restored ones are: where numbers lie decides the last digits of their products.
            self._images, self._residuals = (image.new_empty(self.memory + 1, len(image)) for _ in range(2))
        place = self._n % (self.memory + 1)
        self._n += 1
        torch.sub(residual, last[1], out=self._residuals[place])
        # The difference of the points and of the residuals, in this order: equal fits are then equal to more digits.
        torch.add((image - residual) - (last[0] - last[1]), self._residuals[place], out=self._images[place])
        filled = min(self._n, self.memory + 1)
        newest = torch.arange(max(0, self._n - self.memory), self._n, device=image.device)
        return self._images[:filled], self._residuals[:filled], newest.remainder(self.memory + 1).sort().values
