"""Time series: one table of dates and columns in, windows out."""
