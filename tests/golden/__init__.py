"""Cases recorded from TensorFlow and Keras, and the runner that holds the engine against them."""
