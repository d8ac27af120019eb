"""Series become zones: K-means, the number of zones, refinement of the embedding by its own partition."""
