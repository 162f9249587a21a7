"""networks: what a genotype means, by formula and as a torch module.

Only `modules`, `network` and `weights` import torch; the others import them when they build.
"""
