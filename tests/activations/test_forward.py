"""Running the model: in batches of any size, no further than asked, and without hooks left on it."""

from __future__ import annotations

import numpy as np
import pytest
from lm_fixtures import SENTENCES
from sklearn.base import clone

from mfa_sklearn.activations import ActivationExtractor


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_batching_changes_nothing(llama, batch_size):
    other = clone(llama).set_params(batch_size=batch_size).transform(SENTENCES)
    np.testing.assert_allclose(other, llama.transform(SENTENCES), atol=1e-5)


def test_later_layers_do_not_run_and_hooks_come_off(models):
    extractor = ActivationExtractor(models["llama"], layer=1, device="cpu")
    model = extractor.load()
    ran = []
    for i, block in enumerate(model.original_model.model.layers):
        block.register_forward_pre_hook(lambda _m, _a, i=i: ran.append(i))
    model.original_model.lm_head.register_forward_pre_hook(lambda _m, _a: ran.append("head"))
    extractor.transform(SENTENCES)
    assert set(ran) == {0, 1}
    assert not any(point.fwd_hooks for point in model.hook_dict.values())
    ran.clear()
    extractor.set_params(layer=2).transform(SENTENCES)
    assert set(ran) == {0, 1, 2}


@pytest.mark.parametrize("where", ["_forward._forward", "_extraction.rows_of"])
def test_hooks_come_off_after_an_interrupt(models, monkeypatch, where):
    extractor = ActivationExtractor(models["llama"], layer=1, batch_size=2, device="cpu")
    model = extractor.load()
    on = []

    def interrupted(*args):
        on.append(sum(len(point.fwd_hooks) for point in model.hook_dict.values()))
        raise KeyboardInterrupt

    monkeypatch.setattr(f"mfa_sklearn.activations.{where}", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:  # the traceback is alive here, as after an error in a notebook
        extractor.transform(SENTENCES)
    assert caught.tb and on[0] > 0
    assert not any(point.fwd_hooks for point in model.hook_dict.values())
