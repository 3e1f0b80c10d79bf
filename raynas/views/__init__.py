"""Views of a running or finished search: progress table, TensorBoard, report."""
