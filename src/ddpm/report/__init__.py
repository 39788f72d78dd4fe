"""The report: pictures, plots and page."""
