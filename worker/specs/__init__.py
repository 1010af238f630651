"""The contract of a job: the shape of every Keras config, and what of it can be trained here."""
