"""Files on disk: paths, atomic writing, digests, locks, downloads, versions."""
