"""fanin starts neural networks well."""
