"""Files on disk: paths, atomic writes, digests, locks, downloads, HTML templates, and the version of this code."""
