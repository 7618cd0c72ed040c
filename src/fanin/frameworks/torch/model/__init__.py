"""A model as it is: its names, devices and shards, how it is called, and the state it must be left in."""
