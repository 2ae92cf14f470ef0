"""Dash pages over the lake; they read it through DuckDB and compute nothing."""
