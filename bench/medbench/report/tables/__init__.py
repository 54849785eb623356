"""Tables of data sets and papers, and their renderers."""
