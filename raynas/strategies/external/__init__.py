"""Searchers of other libraries on raynas spaces."""
