"""The nouns of a search: spaces, architectures, goals, evaluations, and the searcher that works on them."""
