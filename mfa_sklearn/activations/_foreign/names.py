"""What names of tensors, columns and files say: which fact, which layer, which site."""

from __future__ import annotations

import re

from ..._base.sites import SITES

# What facts are called, as a rule; the longer names first, because some are parts of others.
USUAL = {
    "token_ids": ("token_ids", "input_ids", "token_id"),
    "tokens": ("token_strings", "tokens", "token"),
    "text_index": ("text_index", "document_index", "sequence_index"),
    "positions": ("positions", "position"),
    "starts": ("starts", "start"),
    "ends": ("ends", "end"),
    "labels": ("labels", "label"),
    "roles": ("roles", "role"),
    "texts": ("texts", "text"),
}
_LAYER = re.compile(r"(?:^|[^a-z])(?:layers?|blocks?|hidden_states?|h)[._\-]?(\d+)(?!\d)")


def fact_called(name: str, whole: bool) -> str | None:
    """The fact that a name is one of; None if it is none.

    Parameters
    ----------
    name : str
    whole : bool
        Whether nothing else may stand in the name, as in that of a column; a file's has a number besides.

    Examples
    --------
    >>> fact_called("input_ids", True), fact_called("shard-3.token_ids", False), fact_called("labels2", True)
    ('token_ids', 'token_ids', None)
    """
    name = name.casefold()
    for fact, usual in USUAL.items():
        for one in usual:
            if name == one or (not whole and re.search(rf"(?<![a-z]){one}(?![a-z])", name)):
                return fact
    return None


def layer_called(name: str) -> int | None:
    """The layer that a name says; None if it says none.

    Examples
    --------
    >>> layer_called("blocks.7.hook_resid_post"), layer_called("acts_layer12_shard0"), layer_called("shard0")
    (7, 12, None)
    """
    found = _LAYER.search(name.casefold())
    return None if found is None else int(found[1])


def site_called(name: str) -> str | None:
    """The site whose hook point a name is.

    Examples
    --------
    >>> site_called("blocks.7.hook_mlp_out"), site_called("layer7")
    ('mlp_out', None)
    """
    layer = layer_called(name)
    return next((site for site, hook in SITES.items() if hook.format(layer=layer) == name), None)
