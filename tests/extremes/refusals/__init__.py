"""What the real libraries refuse to train in 16 bits on CPU, case by case, and what Halfstep says of it."""
