"""Minibatch gradient ascent on the log-likelihood: the gradient, its step, the solver."""
