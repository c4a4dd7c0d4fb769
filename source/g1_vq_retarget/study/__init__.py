"""The comparison of variants: trainings side by side, their logs, and what is read from them."""
