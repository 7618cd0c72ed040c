"""Steps of training as they are made: statistics that wait for nothing, kept steps, clipped gradients."""
