"""How constructors make what they make, recorded on the meta device: laws of parameters, values of buffers."""
