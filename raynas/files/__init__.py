"""Files of unknown origin: read up to a size, decoded into what a schema allows, and never a way out of a folder."""
