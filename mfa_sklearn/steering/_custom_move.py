"""A user's own function of rows, as what a model can be steered with; and what moves are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from .._base.devices import without_autocast
from .._base.words import shortened


class CustomMove:
    """A function of rows (n, D) -> (n, D), checked each time that it is used.

    Parameters
    ----------
    function : callable
        Of a tensor in the model's precision, on its device.
    """

    is_nothing = False

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self._function = function

    def check_rows(self, n_rows: int) -> None:
        """Any batch will do: what becomes of a row does not depend on the prompt that it is of."""

    def __call__(self, x: Tensor, batch_row: Tensor) -> Tensor:
        """Rows `x` (n, D) moved, in their precision.

        Raises
        ------
        TypeError, ValueError
            If the function gives no tensor of their shape.
        """
        with without_autocast(x.device):
            moved = self._function(x)
            if not isinstance(moved, Tensor):
                raise TypeError(f"move must give a tensor of the shape of its rows, gave a {type(moved).__name__}")
            if moved.shape != x.shape:
                raise ValueError(f"move must give rows of shape {tuple(x.shape)}, gave {tuple(moved.shape)}")
            return moved.to(x)


def as_move(move: Any) -> Any:
    """`move` as it is if it has all that `RowMove` asks for, else wrapped.

    Raises
    ------
    TypeError
        If it is no function.
    """
    if not callable(move):
        raise TypeError(
            f"move={_short(move)} must be a function of rows, a tensor (n, D), that gives as many rows moved; a "
            "direction d is added by lambda x: x + 4 * d"
        )
    return move if hasattr(move, "is_nothing") and hasattr(move, "check_rows") else CustomMove(move)


def name_of(move: Any) -> str:
    """What a function is called."""
    name = getattr(move, "__name__", None) or type(move).__name__
    return "function" if name == "<lambda>" else name


def in_words(component: Any, alpha: Any, z: Any, method: str) -> str:
    """A move of a mixture, for tables and messages."""
    told = {"alpha": alpha, "z": z}
    parts = ["all components" if component is None else f"component {_short(component)}"]
    parts += [] if method == "centroid" else [str(method)]
    return ", ".join(parts + [f"{name} {_short(value)}" for name, value in told.items() if value is not None])


def _short(value: Any) -> str:
    return shortened(value.tolist() if hasattr(value, "tolist") else value, 30)
