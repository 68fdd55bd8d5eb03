"""From scores to a page: goals combined, variety, rules, and the draw under them."""
