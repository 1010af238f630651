"""Files of training data: read, measured and judged before a job may name them. Nothing in them is believed."""
