"""Pictures, scalars and features for others: the Trainer's loggers and TensorBoard's Projector."""
