"""Ways of scoring an architecture, one file each."""

# Bare, a folder of the user's with the same name would shadow this one in Ray workers.
if not __name__.startswith("raynas."):
    raise ImportError(f"import raynas.{__name__}: {__name__!r} is a part of raynas, not a top-level package")
