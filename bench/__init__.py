"""Benchmarks: figures for the README, measured on the machine at hand. Not part of the tests."""
