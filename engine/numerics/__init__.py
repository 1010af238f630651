"""What a model does to numbers: looked at before it runs, and while it does."""
