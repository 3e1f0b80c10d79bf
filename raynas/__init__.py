"""raynas: neural architecture search as a plugin for Ray Tune."""
