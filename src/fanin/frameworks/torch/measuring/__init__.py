"""A real forward and backward pass over the graph, and what a diagnosis wants to know of it."""
