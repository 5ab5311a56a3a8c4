"""The loop of steps: an interrupt keeps what was reached."""

from __future__ import annotations

import numpy as np
import pytest
from mixture_cases import X_MADE, quick

from mfa_sklearn import MFA


def test_an_interrupt_keeps_the_fit_so_far(monkeypatch):
    def interrupted(self, attempt, *_):
        def report(n_iter, step):
            if n_iter == 3:
                raise KeyboardInterrupt

        return report

    monkeypatch.setattr(MFA, "_report", interrupted)
    with pytest.warns(UserWarning, match="interrupted after 3 iterations"):
        mfa = quick(n_init=5)
    assert mfa.n_iter_ == 3
    assert np.isfinite(mfa.score(X_MADE))
