"""The mixed operation and layers with kernels that are fast on a CPU."""
