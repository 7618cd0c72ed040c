"""Keras 3, on any back end."""
