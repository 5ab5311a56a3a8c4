"""Sphinx: ``make docs`` writes build/docs/index.html; without make, see its recipe."""

from mfa_sklearn import __version__

project = "mfa-sklearn"
author = "The mfa-sklearn developers"
copyright = "2026, the mfa-sklearn developers"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
# Links to headings of a page, as [Texts](#texts).
myst_heading_anchors = 3
autodoc_typehints = "none"
_ROUTING = ("fit", "partial_fit", "score", "transform", "inverse_transform", "predict")
autodoc_default_options = {
    "members": True,
    "inherited-members": "BaseEstimator,ndarray,Mapping",
    "exclude-members": ",".join(
        [
            # What scikit-learn adds to every estimator, and documents itself.
            *("set_output", "set_callbacks", "get_metadata_routing", *(f"set_{name}_request" for name in _ROUTING)),
            # Of stores: "of shape (n, d)", said of every array, would be a link to it.
            "shape",
        ]
    ),
}
napoleon_google_docstring = False
html_theme = "alabaster"
html_theme_options = {"description": "Regions of language-model activations", "page_width": "1100px"}
