"""Sphinx: ``make docs`` writes build/docs/index.html; without make, see its recipe."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import gallery  # first, because it sets what libraries read when they are imported

from mfa_sklearn import __version__

project = "mfa-sklearn"
author = "The mfa-sklearn developers"
copyright = "2026, the mfa-sklearn developers"
release = version = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "gallery",
    "built_site",
]
exclude_patterns = ["gallery/**/*.ipynb", "gallery/**/*.py", "gallery/**/*.zip"]
# Links to headings of a page, as [Texts](#texts).
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]
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
# What is copied from an example is what one types, not what it prints.
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

SUBJECTS = ("mixtures", "activations", "interpretation", "steering", "evaluation")
sphinx_gallery_conf = {
    "examples_dirs": ["../examples/gallery"],
    "gallery_dirs": ["gallery"],
    "filename_pattern": "/plot_",
    "subsection_order": [f"../examples/gallery/{subject}" for subject in SUBJECTS],
    "within_subsection_order": "FileNameSortKey",
    "doc_module": ("mfa_sklearn",),
    "backreferences_dir": gallery.BACK_REFERENCES,
    "reference_url": {"mfa_sklearn": None},
    "reset_modules": ("matplotlib", "gallery.small_figures", "gallery.strict"),
    "reset_modules_order": "both",
    "image_scrapers": ("matplotlib", "gallery.written_pages"),
    "matplotlib_animations": False,
    "remove_config_comments": True,
    "show_memory": False,
    "min_reported_time": 60,
    "write_computation_times": False,
}

html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_theme = "pydata_sphinx_theme"
html_title = f"mfa-sklearn {release}"
html_show_sourcelink = False
html_theme_options = {
    "github_url": "https://github.com/mfa-sklearn/mfa-sklearn",
    "header_links_before_dropdown": 5,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
# A landing page has no neighbors to list.
html_sidebars = {"index": []}
