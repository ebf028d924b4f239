"""Parts of ``make bench``: each module measures one thing and knows its goal."""
