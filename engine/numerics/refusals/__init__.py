"""What the original libraries refuse to compute in a dtype, as tables: one for each line of Keras."""
