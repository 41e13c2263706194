"""Operators, the objective, seeds and solvers: plain arrays, no files."""
