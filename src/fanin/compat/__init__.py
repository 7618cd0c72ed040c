"""DROP-INS: a framework's own initializer API, drawn from fanin's stream.

One module per framework, with its names, signatures and conventions (`import fanin.compat.torch as init`), and
keyword-only `seed=` and `name=` beside them where the framework has none. The same seed, name, law and logical weight
have the same bits in all of them. Where fanin differs from the framework on purpose: docs/compat.md.
Nothing is imported here, so that no framework is.
"""
