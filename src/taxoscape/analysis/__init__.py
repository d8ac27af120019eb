"""What the zones are worth and what they show: distances, quality, representatives, agreement with a truth."""
