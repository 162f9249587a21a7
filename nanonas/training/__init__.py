"""training: fits one network to images, or scores it untrained. All but `recipe` import torch."""
