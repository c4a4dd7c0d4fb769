"""Tasks in simulators: what they have in common, and one adapter a simulator."""
