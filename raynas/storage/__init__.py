"""A search's folder in a storage beyond this machine: a bucket, or whatever else is a file system of pyarrow's."""

from raynas.storage.bucket import Bucket
from raynas.storage.location import find_bucket
from raynas.storage.replica import Replica

__all__ = ["Bucket", "Replica", "find_bucket"]
