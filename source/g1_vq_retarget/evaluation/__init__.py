"""Figures and pictures of a trained model on held-out motion."""
