"""Pictures, plots and the page that a person reads."""
