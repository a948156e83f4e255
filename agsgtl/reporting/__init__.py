"""From the ledger to tables: no torch, no Ray, so that it works on a laptop that holds only `results/`."""
