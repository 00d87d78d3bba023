"""Self-contained HTML pages: templates, tables, plots as SVG, pictures, and how figures are worded."""
