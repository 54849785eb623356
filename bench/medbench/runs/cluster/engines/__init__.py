"""Who starts the tasks of a submission: one module each."""
