"""Components that are not there are refused."""

from __future__ import annotations

import pytest
from mixture_cases import X_MADE, quick


@pytest.mark.parametrize("method", ["posterior_mean", "get_covariance", "get_precision"])
def test_components_out_of_range(method):
    arguments = (X_MADE,) if method == "posterior_mean" else ()
    for component, error in [(3, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError), ("0", TypeError)]:
        with pytest.raises(error, match="component="):
            getattr(quick(), method)(*arguments, component)
