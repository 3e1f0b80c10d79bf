"""Data sets: sources, batches, loaders, augmentation, and the spaces that fit them."""
