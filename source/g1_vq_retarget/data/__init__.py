"""From files to training windows: pairing, windows, features, splits."""
