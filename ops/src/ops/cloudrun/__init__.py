"""What Cloud Run documents: its limits, how it scales, what it costs."""
