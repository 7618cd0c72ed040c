"""DROP-INS: the initializers of a framework, spelled as the framework spells them, drawn from the stream.

`fanin.compat.keras`, `fanin.compat.paddle` and `fanin.compat.numpy` are imported by name; each imports its framework.
The same seed, name, law and logical weight have the same bits in all of them: `Layout` says how a framework stores it.
"""
