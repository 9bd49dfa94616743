"""What comes in from outside, bounded before it is believed: connections, headers, bodies, pictures and addresses."""
