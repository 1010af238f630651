"""What the real Keras did, recorded once: JSON that the tests are held against, so that they need no Keras."""
