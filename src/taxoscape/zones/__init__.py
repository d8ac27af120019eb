"""Series become zones, in a learned metric or by K-means; the number of zones; refinement by the zones themselves."""
