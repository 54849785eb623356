"""Parts of planning: the checks of a request, and what its jobs share."""
