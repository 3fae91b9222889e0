"""What a build would take, from what builds took."""
