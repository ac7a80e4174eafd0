"""What is known of the operations that a model is made of, as ATen names them: each is taught here, once."""
