"""The embedded data, installed as `mfa_sklearn.data`; `mfa_sklearn.datasets` reads it."""
