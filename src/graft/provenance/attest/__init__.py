"""What a model is, told to people who have neither the repository nor the server: statements they can check."""
