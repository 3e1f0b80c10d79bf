"""Write ``raynas/cli/catalogue.json``, from which ``--help`` is made; run it after a change of the options."""

from raynas.cli.catalogue import FILE
from raynas.cli.describe import catalogue_text
from raynas.cli.tables import TABLES

if __name__ == "__main__":
    FILE.write_text(catalogue_text(TABLES), encoding="utf-8")
