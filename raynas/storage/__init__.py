"""A search's folder in a storage beyond this machine: a bucket, or whatever else is a file system of pyarrow's."""
