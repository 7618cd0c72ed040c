"""Drop-ins: modules that speak a framework's own initializer API and draw from fanin's stream.

Each has the names, signatures and meanings of what it stands in for, and the bits that every other framework gets for
the same seed, name and logical weight. Where the original is wrong, its docstring says what differs.
"""
