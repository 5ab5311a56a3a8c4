"""Expectation-maximization: passes over the rows, their statistics, the solver."""
