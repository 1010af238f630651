"""Training steps of Halfstep beside those of Keras on TensorFlow and of PyTorch; ``make bench`` prints the tables."""
