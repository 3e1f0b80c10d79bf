"""Training of shared weights: settings, trainer, data-parallel workers, and the trained result."""
