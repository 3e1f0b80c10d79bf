"""Rewrite images in Parquet files as shards, which ``--data shards:FOLDER`` trains on."""

import argparse
import sys
from pathlib import Path

from raynas.data.parquet_shards import write_shards
from raynas.errors import RaynasError, one_line


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="a Parquet file, or a folder of them")
    parser.add_argument("folder", type=Path, help="the folder to write")
    parser.add_argument("--part", choices=("train", "valid", "test"), default="train", help="the split")
    parser.add_argument("--image", default="", help="column of encoded images; by default the only one")
    parser.add_argument("--label", default="", help="column of classes from 0; by default one called label or the like")
    parser.add_argument("--shard_mb", type=float, default=500, help="size of an archive in MB")
    args = parser.parse_args()
    try:
        written = write_shards(
            args.source, args.folder, args.part, image=args.image, label=args.label, shard_mb=args.shard_mb
        )
    except (RaynasError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    print(f"wrote {len(written)} archives; train on them with --data shards:{args.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
