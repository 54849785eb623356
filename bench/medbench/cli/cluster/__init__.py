"""What the command line has for clusters: `--on`, tasks, logs."""
