"""Files on disk: paths, atomic writes, digests, locks, downloads, and the version of this code."""
