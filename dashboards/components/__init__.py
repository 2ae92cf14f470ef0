"""Parts that pages are made of. Each takes plain values and returns Dash components."""
