"""`ops loadtest`: drives a service over a sweep of loads and settings, and finds what one instance should take."""
