"""From tiles to vectors: triplets, networks, training, encoders, and the series that they make of a cube.

`triplets`, `tiles` and `scaling` are numpy only; the other modules need torch. Import from the modules: nothing is
re-exported here, so that the index tables can be used without loading torch.
"""
