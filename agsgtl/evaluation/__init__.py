"""What predictions are worth: metrics over the full list of classes, and the rules that select by them."""
