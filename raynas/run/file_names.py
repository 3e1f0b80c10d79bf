"""Names of the files that a search leaves behind, for those that write them and those that only name them."""

ARCHIVE = "archive.jsonl"
ARCHITECTURE = "architecture.json"
BEST = "best"
RETRAIN_SETTINGS = "retrain.yaml"
"""The file of settings beside the architecture, with which it is trained to the end."""
OPTIONS = "options.yaml"
"""The options of a search from the command line, with which it can be continued."""
