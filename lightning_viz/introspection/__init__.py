"""What one can do with somebody else's model: borrow it, find its layers, read its outputs, trace it."""
