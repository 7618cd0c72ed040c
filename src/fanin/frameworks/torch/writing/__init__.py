"""Values into memory, of one tensor or a model, on any device, whole or sharded; and whether they are there."""
