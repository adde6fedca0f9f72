"""What an encoder may be: the grammar, its families, its cost. Plain Python, no TensorFlow."""
