"""Command lines of funnels."""

from raynas.cli.search_command import SearchCommand, parse_search

STAGES = ("--funnel", "zero_cost 30 synflow", "train 10 epochs=2", "train 4 epochs=6 lr=1e-2")


def search(*argv: str) -> SearchCommand:
    return parse_search(argv)
