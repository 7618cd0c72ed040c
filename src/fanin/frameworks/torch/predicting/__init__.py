"""Moments through the graph without running it, and operations without a rule run on stand-ins."""
