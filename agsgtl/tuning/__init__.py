"""The search: the only layer that knows Ray and Optuna. A worker imports Ray alone."""
