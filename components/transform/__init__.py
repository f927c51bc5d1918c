"""Transform: learns from the train split, makes the transform graph and applies it."""
