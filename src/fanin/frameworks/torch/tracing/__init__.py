"""From a model and an example to a `Graph`: the program of its operations, and what its parameters are."""
