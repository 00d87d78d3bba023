"""The checks of a release, one file for each kind of paper or data; `validate` calls them."""
