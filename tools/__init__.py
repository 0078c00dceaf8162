"""What built the data that ships."""
