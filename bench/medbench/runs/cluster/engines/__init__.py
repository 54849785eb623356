"""The engines that start the tasks of a submission: one module each."""
