"""The search: the only layer that knows Ray and Optuna."""

import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)  # what it would say is in the ledger
