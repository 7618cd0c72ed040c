"""What is counted in arrays of floats, compiled; many in one call, since most are so small that a call takes longer.

Importing a module of it imports numba, which the first measurement on a CPU does.
"""
